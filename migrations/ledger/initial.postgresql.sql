CREATE TABLE agreement (
    id BIGSERIAL NOT NULL,
    offer_hash BYTEA NOT NULL,
    model BYTEA NOT NULL,
    tokenizer BYTEA NOT NULL,
    template BYTEA NOT NULL,
    price_prompt NUMERIC(39, 0) NOT NULL CONSTRAINT ck_agreement_price_prompt CHECK (price_prompt >= 0 AND price_prompt < 340282366920938463463374607431768211456),
    price_completion NUMERIC(39, 0) NOT NULL CONSTRAINT ck_agreement_price_completion CHECK (price_completion >= 0 AND price_completion < 340282366920938463463374607431768211456),
    CONSTRAINT pk_agreement PRIMARY KEY (id),
    CONSTRAINT uq_agreement_offer_hash_model_tokenizer_template_price__c30d UNIQUE (offer_hash, model, tokenizer, template, price_prompt, price_completion)
);

CREATE TABLE chain_block (
    hash BYTEA NOT NULL,
    number BIGINT NOT NULL CONSTRAINT ck_chain_block_number CHECK (number >= 0),
    parent BYTEA NOT NULL,
    timestamp BIGINT NOT NULL CONSTRAINT ck_chain_block_timestamp CHECK (timestamp >= 0),
    CONSTRAINT pk_chain_block PRIMARY KEY (hash),
    CONSTRAINT uq_chain_block_number UNIQUE (number)
);

CREATE TABLE lease (
    id BIGSERIAL NOT NULL,
    worker TEXT NOT NULL,
    taken_at BIGINT NOT NULL CONSTRAINT ck_lease_taken_at CHECK (taken_at >= 0),
    expires_at BIGINT NOT NULL CONSTRAINT ck_lease_expires_at CHECK (expires_at >= 0),
    CONSTRAINT pk_lease PRIMARY KEY (id)
);

CREATE TABLE offer (
    hash BYTEA NOT NULL,
    payee BYTEA NOT NULL CONSTRAINT ck_offer_payee CHECK (length(payee) = 20),
    number BIGINT NOT NULL CONSTRAINT ck_offer_number CHECK (number >= 0),
    document TEXT NOT NULL,
    signature BYTEA NOT NULL CONSTRAINT ck_offer_signature CHECK (length(signature) = 65),
    operator BYTEA NOT NULL CONSTRAINT ck_offer_operator CHECK (length(operator) = 20),
    made_at BIGINT NOT NULL CONSTRAINT ck_offer_made_at CHECK (made_at >= 0),
    CONSTRAINT pk_offer PRIMARY KEY (hash)
);

CREATE TABLE outbox (
    id BIGSERIAL NOT NULL,
    key TEXT NOT NULL,
    kind TEXT NOT NULL,
    sender BYTEA NOT NULL CONSTRAINT ck_outbox_sender CHECK (length(sender) = 20),
    to_address BYTEA NOT NULL CONSTRAINT ck_outbox_to_address CHECK (length(to_address) = 20),
    call_data BYTEA NOT NULL,
    deadline BIGINT NOT NULL CONSTRAINT ck_outbox_deadline CHECK (deadline >= 0),
    state TEXT NOT NULL,
    open_key TEXT,
    version BIGINT NOT NULL CONSTRAINT ck_outbox_version CHECK (version >= 0),
    reason TEXT NOT NULL,
    mined_hash BYTEA,
    mined_number BIGINT,
    mined_block BYTEA,
    gas_used BIGINT,
    gas_price BIGINT,
    is_success INTEGER,
    CONSTRAINT pk_outbox PRIMARY KEY (id),
    CONSTRAINT uq_outbox_open_key UNIQUE (open_key)
);

CREATE INDEX ix_outbox_sender_open_key ON outbox (sender, open_key);

CREATE TABLE pair (
    payer BYTEA NOT NULL CONSTRAINT ck_pair_payer CHECK (length(payer) = 20),
    payee BYTEA NOT NULL CONSTRAINT ck_pair_payee CHECK (length(payee) = 20),
    cover NUMERIC(39, 0) NOT NULL CONSTRAINT ck_pair_cover CHECK (cover >= 0 AND cover < 340282366920938463463374607431768211456),
    committed NUMERIC(39, 0) NOT NULL CONSTRAINT ck_pair_committed CHECK (committed >= 0 AND committed < 340282366920938463463374607431768211456),
    thawing NUMERIC(39, 0) NOT NULL CONSTRAINT ck_pair_thawing CHECK (thawing >= 0 AND thawing < 340282366920938463463374607431768211456),
    thaw_end BIGINT NOT NULL CONSTRAINT ck_pair_thaw_end CHECK (thaw_end >= 0),
    CONSTRAINT pk_pair PRIMARY KEY (payer, payee)
);

CREATE TABLE payee_operator (
    payee BYTEA NOT NULL CONSTRAINT ck_payee_operator_payee CHECK (length(payee) = 20),
    generation BIGINT NOT NULL,
    operator BYTEA NOT NULL CONSTRAINT ck_payee_operator_operator CHECK (length(operator) = 20),
    CONSTRAINT pk_payee_operator PRIMARY KEY (payee, generation)
);

CREATE TABLE payee_state (
    payee BYTEA NOT NULL CONSTRAINT ck_payee_state_payee CHECK (length(payee) = 20),
    generation BIGINT NOT NULL CONSTRAINT ck_payee_state_generation CHECK (generation >= 0),
    operator BYTEA NOT NULL CONSTRAINT ck_payee_state_operator CHECK (length(operator) = 20),
    head_generation BIGINT NOT NULL CONSTRAINT ck_payee_state_head_generation CHECK (head_generation >= 0),
    CONSTRAINT pk_payee_state PRIMARY KEY (payee)
);

CREATE TABLE provider (
    provider BYTEA NOT NULL CONSTRAINT ck_provider_provider CHECK (length(provider) = 20),
    is_listed INTEGER NOT NULL,
    endpoint TEXT NOT NULL,
    offer_hash BYTEA NOT NULL,
    stake NUMERIC(39, 0) NOT NULL CONSTRAINT ck_provider_stake CHECK (stake >= 0 AND stake < 340282366920938463463374607431768211456),
    unbonding NUMERIC(39, 0) NOT NULL CONSTRAINT ck_provider_unbonding CHECK (unbonding >= 0 AND unbonding < 340282366920938463463374607431768211456),
    unbond_end BIGINT NOT NULL CONSTRAINT ck_provider_unbond_end CHECK (unbond_end >= 0),
    CONSTRAINT pk_provider PRIMARY KEY (provider)
);

CREATE TABLE signer (
    signer BYTEA NOT NULL CONSTRAINT ck_signer_signer CHECK (length(signer) = 20),
    payer BYTEA NOT NULL CONSTRAINT ck_signer_payer CHECK (length(payer) = 20),
    cap NUMERIC(39, 0) NOT NULL CONSTRAINT ck_signer_cap CHECK (cap >= 0 AND cap < 340282366920938463463374607431768211456),
    is_live INTEGER NOT NULL,
    thaw_end BIGINT NOT NULL CONSTRAINT ck_signer_thaw_end CHECK (thaw_end >= 0),
    CONSTRAINT pk_signer PRIMARY KEY (signer)
);

CREATE TABLE chain_cursor (
    id INTEGER NOT NULL CONSTRAINT ck_chain_cursor_single CHECK (id = 1),
    head_hash BYTEA NOT NULL,
    finalised BIGINT NOT NULL CONSTRAINT ck_chain_cursor_finalised CHECK (finalised >= 0),
    CONSTRAINT pk_chain_cursor PRIMARY KEY (id),
    CONSTRAINT fk_chain_cursor_head_hash FOREIGN KEY(head_hash) REFERENCES chain_block (hash)
);

CREATE TABLE chain_event (
    block_hash BYTEA NOT NULL,
    log_index BIGINT NOT NULL,
    block_number BIGINT NOT NULL CONSTRAINT ck_chain_event_block_number CHECK (block_number >= 0),
    tx_hash BYTEA NOT NULL,
    contract TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject BYTEA NOT NULL,
    args TEXT NOT NULL,
    CONSTRAINT pk_chain_event PRIMARY KEY (block_hash, log_index),
    CONSTRAINT fk_chain_event_block_hash FOREIGN KEY(block_hash) REFERENCES chain_block (hash)
);

CREATE INDEX ix_chain_event_block_number ON chain_event (block_number);

CREATE INDEX ix_chain_event_kind_subject ON chain_event (kind, subject, block_number);

CREATE TABLE lane (
    id BIGSERIAL NOT NULL,
    payer BYTEA NOT NULL CONSTRAINT ck_lane_payer CHECK (length(payer) = 20),
    payee BYTEA NOT NULL CONSTRAINT ck_lane_payee CHECK (length(payee) = 20),
    lane BYTEA NOT NULL CONSTRAINT ck_lane_lane CHECK (length(lane) = 20),
    claimed NUMERIC(39, 0) NOT NULL CONSTRAINT ck_lane_claimed CHECK (claimed >= 0 AND claimed < 340282366920938463463374607431768211456),
    CONSTRAINT pk_lane PRIMARY KEY (id),
    CONSTRAINT fk_lane_payer_payee FOREIGN KEY(payer, payee) REFERENCES pair (payer, payee),
    CONSTRAINT uq_lane_payer_payee_lane UNIQUE (payer, payee, lane)
);

CREATE TABLE outbox_attempt (
    tx_hash BYTEA NOT NULL,
    outbox_id BIGINT NOT NULL,
    number BIGINT NOT NULL CONSTRAINT ck_outbox_attempt_number CHECK (number >= 0),
    nonce BIGINT NOT NULL CONSTRAINT ck_outbox_attempt_nonce CHECK (nonce >= 0),
    max_fee NUMERIC(39, 0) NOT NULL CONSTRAINT ck_outbox_attempt_max_fee CHECK (max_fee >= 0 AND max_fee < 340282366920938463463374607431768211456),
    tip NUMERIC(39, 0) NOT NULL CONSTRAINT ck_outbox_attempt_tip CHECK (tip >= 0 AND tip < 340282366920938463463374607431768211456),
    raw BYTEA NOT NULL,
    sent_at BIGINT NOT NULL CONSTRAINT ck_outbox_attempt_sent_at CHECK (sent_at >= 0),
    CONSTRAINT pk_outbox_attempt PRIMARY KEY (tx_hash),
    CONSTRAINT fk_outbox_attempt_outbox_id FOREIGN KEY(outbox_id) REFERENCES outbox (id)
);

CREATE INDEX ix_outbox_attempt_outbox_id ON outbox_attempt (outbox_id);

CREATE TABLE account (
    lane_id BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    base NUMERIC(39, 0) NOT NULL CONSTRAINT ck_account_base CHECK (base >= 0 AND base < 340282366920938463463374607431768211456),
    charged NUMERIC(39, 0) NOT NULL CONSTRAINT ck_account_charged CHECK (charged >= 0 AND charged < 340282366920938463463374607431768211456),
    reserved NUMERIC(39, 0) NOT NULL CONSTRAINT ck_account_reserved CHECK (reserved >= 0 AND reserved < 340282366920938463463374607431768211456),
    best NUMERIC(39, 0) NOT NULL CONSTRAINT ck_account_best CHECK (best >= 0 AND best < 340282366920938463463374607431768211456),
    best_voucher_id BIGINT,
    seq BIGINT NOT NULL CONSTRAINT ck_account_seq CHECK (seq >= 0),
    count BIGINT NOT NULL CONSTRAINT ck_account_count CHECK (count >= 0),
    is_frozen INTEGER NOT NULL,
    CONSTRAINT pk_account PRIMARY KEY (lane_id, generation),
    CONSTRAINT ck_account_charged_above_base CHECK (charged >= base),
    CONSTRAINT fk_account_lane_id FOREIGN KEY(lane_id) REFERENCES lane (id)
);

CREATE TABLE voucher (
    id BIGINT NOT NULL,
    lane_id BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    request_id BYTEA NOT NULL,
    ceiling NUMERIC(39, 0) NOT NULL CONSTRAINT ck_voucher_ceiling CHECK (ceiling >= 0 AND ceiling < 340282366920938463463374607431768211456),
    context BYTEA NOT NULL,
    signature BYTEA NOT NULL CONSTRAINT ck_voucher_signature CHECK (length(signature) = 65),
    request_hash BYTEA NOT NULL,
    agreement_id BIGINT NOT NULL,
    max_price NUMERIC(39, 0) NOT NULL CONSTRAINT ck_voucher_max_price CHECK (max_price >= 0 AND max_price < 340282366920938463463374607431768211456),
    start_by BIGINT NOT NULL CONSTRAINT ck_voucher_start_by CHECK (start_by >= 0),
    mode INTEGER NOT NULL,
    flags BIGINT NOT NULL,
    hops INTEGER NOT NULL,
    origin_hash BYTEA NOT NULL,
    salt BYTEA NOT NULL,
    received_at BIGINT NOT NULL CONSTRAINT ck_voucher_received_at CHECK (received_at >= 0),
    lease BIGINT NOT NULL,
    CONSTRAINT pk_voucher PRIMARY KEY (id),
    CONSTRAINT ck_voucher_request_id CHECK (length(request_id) = 32),
    CONSTRAINT fk_voucher_lane_id_generation FOREIGN KEY(lane_id, generation) REFERENCES account (lane_id, generation),
    CONSTRAINT uq_voucher_lane_id_request_id UNIQUE (lane_id, request_id),
    CONSTRAINT fk_voucher_agreement_id FOREIGN KEY(agreement_id) REFERENCES agreement (id),
    CONSTRAINT fk_voucher_lease FOREIGN KEY(lease) REFERENCES lease (id)
);

CREATE TABLE claim (
    id BIGSERIAL NOT NULL,
    lane_id BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    seq BIGINT NOT NULL CONSTRAINT ck_claim_seq CHECK (seq >= 0),
    cumulative NUMERIC(39, 0) NOT NULL CONSTRAINT ck_claim_cumulative CHECK (cumulative >= 0 AND cumulative < 340282366920938463463374607431768211456),
    receipts_root BYTEA NOT NULL,
    count BIGINT NOT NULL CONSTRAINT ck_claim_count CHECK (count >= 0),
    peaks BYTEA NOT NULL,
    signature BYTEA NOT NULL CONSTRAINT ck_claim_signature CHECK (length(signature) = 65),
    voucher_id BIGINT NOT NULL,
    CONSTRAINT pk_claim PRIMARY KEY (id),
    CONSTRAINT fk_claim_lane_id_generation FOREIGN KEY(lane_id, generation) REFERENCES account (lane_id, generation),
    CONSTRAINT uq_claim_lane_id_generation_count UNIQUE (lane_id, generation, count),
    CONSTRAINT fk_claim_voucher_id FOREIGN KEY(voucher_id) REFERENCES voucher (id)
);

CREATE INDEX ix_claim_receipts_root ON claim (receipts_root);

CREATE TABLE receipt (
    voucher_id BIGINT NOT NULL,
    lane_id BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    seq BIGINT NOT NULL CONSTRAINT ck_receipt_seq CHECK (seq >= 0),
    position BIGINT NOT NULL CONSTRAINT ck_receipt_position CHECK (position >= 0),
    response_hash BYTEA NOT NULL,
    answer_hash BYTEA NOT NULL,
    prompt_tokens BIGINT NOT NULL CONSTRAINT ck_receipt_prompt_tokens CHECK (prompt_tokens >= 0),
    completion_tokens BIGINT NOT NULL CONSTRAINT ck_receipt_completion_tokens CHECK (completion_tokens >= 0),
    status INTEGER NOT NULL CONSTRAINT ck_receipt_status CHECK (status BETWEEN 1 AND 4),
    charge NUMERIC(39, 0) NOT NULL CONSTRAINT ck_receipt_charge CHECK (charge >= 0 AND charge < 340282366920938463463374607431768211456),
    cumulative NUMERIC(39, 0) NOT NULL CONSTRAINT ck_receipt_cumulative CHECK (cumulative >= 0 AND cumulative < 340282366920938463463374607431768211456),
    CONSTRAINT pk_receipt PRIMARY KEY (voucher_id),
    CONSTRAINT ck_receipt_charge_within_cumulative CHECK (charge <= cumulative),
    CONSTRAINT uq_receipt_lane_id_generation_seq UNIQUE (lane_id, generation, seq),
    CONSTRAINT fk_receipt_voucher_id FOREIGN KEY(voucher_id) REFERENCES voucher (id)
);

CREATE INDEX ix_receipt_seq ON receipt (seq);

CREATE TABLE reservation (
    voucher_id BIGINT NOT NULL,
    CONSTRAINT pk_reservation PRIMARY KEY (voucher_id),
    CONSTRAINT fk_reservation_voucher_id FOREIGN KEY(voucher_id) REFERENCES voucher (id)
);

CREATE TABLE outbox_claim (
    outbox_id BIGINT NOT NULL,
    claim_id BIGINT NOT NULL,
    CONSTRAINT pk_outbox_claim PRIMARY KEY (outbox_id, claim_id),
    CONSTRAINT fk_outbox_claim_outbox_id FOREIGN KEY(outbox_id) REFERENCES outbox (id),
    CONSTRAINT fk_outbox_claim_claim_id FOREIGN KEY(claim_id) REFERENCES claim (id)
);

CREATE INDEX ix_outbox_claim_claim_id ON outbox_claim (claim_id);

CREATE TABLE receipt_signature (
    voucher_id BIGINT NOT NULL,
    signature BYTEA NOT NULL CONSTRAINT ck_receipt_signature_signature CHECK (length(signature) = 65),
    CONSTRAINT pk_receipt_signature PRIMARY KEY (voucher_id),
    CONSTRAINT fk_receipt_signature_voucher_id FOREIGN KEY(voucher_id) REFERENCES receipt (voucher_id)
);

CREATE VIEW charge AS
SELECT lane.payer, lane.payee, lane.lane, receipt.generation, receipt.seq, receipt.position, voucher.request_id,
       voucher.context, voucher.request_hash, receipt.response_hash, receipt.answer_hash, receipt.prompt_tokens,
       receipt.completion_tokens, receipt.status, receipt.charge, receipt.cumulative,
       receipt_signature.signature, voucher.ceiling, voucher.signature AS voucher_signature,
       agreement.offer_hash, agreement.model, agreement.tokenizer, agreement.template, agreement.price_prompt,
       agreement.price_completion, voucher.max_price, voucher.start_by, voucher.mode, voucher.flags,
       voucher.hops, voucher.origin_hash, voucher.salt, voucher.received_at, voucher.lease, receipt.voucher_id,
       receipt.lane_id
FROM receipt
JOIN voucher ON voucher.id = receipt.voucher_id
JOIN agreement ON agreement.id = voucher.agreement_id
JOIN lane ON lane.id = receipt.lane_id
LEFT JOIN receipt_signature ON receipt_signature.voucher_id = receipt.voucher_id;
