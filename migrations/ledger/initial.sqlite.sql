CREATE TABLE agreement (
    id INTEGER NOT NULL,
    offer_hash BLOB NOT NULL,
    model BLOB NOT NULL,
    tokenizer BLOB NOT NULL,
    template BLOB NOT NULL,
    price_prompt TEXT NOT NULL CONSTRAINT ck_agreement_price_prompt CHECK (length(price_prompt) = 39 AND price_prompt BETWEEN '000000000000000000000000000000000000000' AND '340282366920938463463374607431768211455'),
    price_completion TEXT NOT NULL CONSTRAINT ck_agreement_price_completion CHECK (length(price_completion) = 39 AND price_completion BETWEEN '000000000000000000000000000000000000000' AND '340282366920938463463374607431768211455'),
    CONSTRAINT pk_agreement PRIMARY KEY (id),
    CONSTRAINT uq_agreement_offer_hash_model_tokenizer_template_price_prompt_price_completion UNIQUE (offer_hash, model, tokenizer, template, price_prompt, price_completion)
)
 STRICT;

CREATE TABLE chain_block (
    hash BLOB NOT NULL,
    number INTEGER NOT NULL CONSTRAINT ck_chain_block_number CHECK (number >= 0),
    parent BLOB NOT NULL,
    timestamp INTEGER NOT NULL CONSTRAINT ck_chain_block_timestamp CHECK (timestamp >= 0),
    CONSTRAINT pk_chain_block PRIMARY KEY (hash),
    CONSTRAINT uq_chain_block_number UNIQUE (number)
)
 STRICT;

CREATE TABLE lease (
    id INTEGER NOT NULL,
    worker TEXT NOT NULL,
    taken_at INTEGER NOT NULL CONSTRAINT ck_lease_taken_at CHECK (taken_at >= 0),
    expires_at INTEGER NOT NULL CONSTRAINT ck_lease_expires_at CHECK (expires_at >= 0),
    CONSTRAINT pk_lease PRIMARY KEY (id)
)
 STRICT;

CREATE TABLE offer (
    hash BLOB NOT NULL,
    payee BLOB NOT NULL CONSTRAINT ck_offer_payee CHECK (length(payee) = 20),
    number INTEGER NOT NULL CONSTRAINT ck_offer_number CHECK (number >= 0),
    document TEXT NOT NULL,
    signature BLOB NOT NULL CONSTRAINT ck_offer_signature CHECK (length(signature) = 65),
    operator BLOB NOT NULL CONSTRAINT ck_offer_operator CHECK (length(operator) = 20),
    made_at INTEGER NOT NULL CONSTRAINT ck_offer_made_at CHECK (made_at >= 0),
    CONSTRAINT pk_offer PRIMARY KEY (hash)
)
 STRICT;

CREATE TABLE outbox (
    id INTEGER NOT NULL,
    "key" TEXT NOT NULL,
    kind TEXT NOT NULL,
    sender BLOB NOT NULL CONSTRAINT ck_outbox_sender CHECK (length(sender) = 20),
    to_address BLOB NOT NULL CONSTRAINT ck_outbox_to_address CHECK (length(to_address) = 20),
    call_data BLOB NOT NULL,
    deadline INTEGER NOT NULL CONSTRAINT ck_outbox_deadline CHECK (deadline >= 0),
    state TEXT NOT NULL,
    open_key TEXT,
    version INTEGER NOT NULL CONSTRAINT ck_outbox_version CHECK (version >= 0),
    reason TEXT NOT NULL,
    mined_hash BLOB,
    mined_number INTEGER,
    mined_block BLOB,
    gas_used INTEGER,
    gas_price INTEGER,
    is_success INTEGER,
    CONSTRAINT pk_outbox PRIMARY KEY (id),
    CONSTRAINT uq_outbox_open_key UNIQUE (open_key)
)
 STRICT;

CREATE INDEX ix_outbox_sender_open_key ON outbox (sender, open_key);

CREATE TABLE pair (
    payer BLOB NOT NULL CONSTRAINT ck_pair_payer CHECK (length(payer) = 20),
    payee BLOB NOT NULL CONSTRAINT ck_pair_payee CHECK (length(payee) = 20),
    cover TEXT NOT NULL CONSTRAINT ck_pair_cover CHECK (length(cover) = 39 AND cover BETWEEN '000000000000000000000000000000000000000' AND '340282366920938463463374607431768211455'),
    committed TEXT NOT NULL CONSTRAINT ck_pair_committed CHECK (length(committed) = 39 AND committed BETWEEN '000000000000000000000000000000000000000' AND '340282366920938463463374607431768211455'),
    thawing TEXT NOT NULL CONSTRAINT ck_pair_thawing CHECK (length(thawing) = 39 AND thawing BETWEEN '000000000000000000000000000000000000000' AND '340282366920938463463374607431768211455'),
    thaw_end INTEGER NOT NULL CONSTRAINT ck_pair_thaw_end CHECK (thaw_end >= 0),
    CONSTRAINT pk_pair PRIMARY KEY (payer, payee)
)
 WITHOUT ROWID,
 STRICT;

CREATE TABLE payee_operator (
    payee BLOB NOT NULL CONSTRAINT ck_payee_operator_payee CHECK (length(payee) = 20),
    generation INTEGER NOT NULL,
    operator BLOB NOT NULL CONSTRAINT ck_payee_operator_operator CHECK (length(operator) = 20),
    CONSTRAINT pk_payee_operator PRIMARY KEY (payee, generation)
)
 STRICT;

CREATE TABLE payee_state (
    payee BLOB NOT NULL CONSTRAINT ck_payee_state_payee CHECK (length(payee) = 20),
    generation INTEGER NOT NULL CONSTRAINT ck_payee_state_generation CHECK (generation >= 0),
    operator BLOB NOT NULL CONSTRAINT ck_payee_state_operator CHECK (length(operator) = 20),
    head_generation INTEGER NOT NULL CONSTRAINT ck_payee_state_head_generation CHECK (head_generation >= 0),
    CONSTRAINT pk_payee_state PRIMARY KEY (payee)
)
 STRICT;

CREATE TABLE provider (
    provider BLOB NOT NULL CONSTRAINT ck_provider_provider CHECK (length(provider) = 20),
    is_listed INTEGER NOT NULL,
    endpoint TEXT NOT NULL,
    offer_hash BLOB NOT NULL,
    stake TEXT NOT NULL CONSTRAINT ck_provider_stake CHECK (length(stake) = 39 AND stake BETWEEN '000000000000000000000000000000000000000' AND '340282366920938463463374607431768211455'),
    unbonding TEXT NOT NULL CONSTRAINT ck_provider_unbonding CHECK (length(unbonding) = 39 AND unbonding BETWEEN '000000000000000000000000000000000000000' AND '340282366920938463463374607431768211455'),
    unbond_end INTEGER NOT NULL CONSTRAINT ck_provider_unbond_end CHECK (unbond_end >= 0),
    CONSTRAINT pk_provider PRIMARY KEY (provider)
)
 STRICT;

CREATE TABLE signer (
    signer BLOB NOT NULL CONSTRAINT ck_signer_signer CHECK (length(signer) = 20),
    payer BLOB NOT NULL CONSTRAINT ck_signer_payer CHECK (length(payer) = 20),
    cap TEXT NOT NULL CONSTRAINT ck_signer_cap CHECK (length(cap) = 39 AND cap BETWEEN '000000000000000000000000000000000000000' AND '340282366920938463463374607431768211455'),
    is_live INTEGER NOT NULL,
    thaw_end INTEGER NOT NULL CONSTRAINT ck_signer_thaw_end CHECK (thaw_end >= 0),
    CONSTRAINT pk_signer PRIMARY KEY (signer)
)
 STRICT;

CREATE TABLE chain_cursor (
    id INTEGER NOT NULL CONSTRAINT ck_chain_cursor_single CHECK (id = 1),
    head_hash BLOB NOT NULL,
    finalised INTEGER NOT NULL CONSTRAINT ck_chain_cursor_finalised CHECK (finalised >= 0),
    CONSTRAINT pk_chain_cursor PRIMARY KEY (id),
    CONSTRAINT fk_chain_cursor_head_hash FOREIGN KEY(head_hash) REFERENCES chain_block (hash)
)
 STRICT;

CREATE TABLE chain_event (
    block_hash BLOB NOT NULL,
    log_index INTEGER NOT NULL,
    block_number INTEGER NOT NULL CONSTRAINT ck_chain_event_block_number CHECK (block_number >= 0),
    tx_hash BLOB NOT NULL,
    contract TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    subject BLOB NOT NULL,
    args TEXT NOT NULL,
    CONSTRAINT pk_chain_event PRIMARY KEY (block_hash, log_index),
    CONSTRAINT fk_chain_event_block_hash FOREIGN KEY(block_hash) REFERENCES chain_block (hash)
)
 STRICT;

CREATE INDEX ix_chain_event_block_number ON chain_event (block_number);

CREATE INDEX ix_chain_event_kind_subject ON chain_event (kind, subject, block_number);

CREATE TABLE lane (
    id INTEGER NOT NULL,
    payer BLOB NOT NULL CONSTRAINT ck_lane_payer CHECK (length(payer) = 20),
    payee BLOB NOT NULL CONSTRAINT ck_lane_payee CHECK (length(payee) = 20),
    lane BLOB NOT NULL CONSTRAINT ck_lane_lane CHECK (length(lane) = 20),
    claimed TEXT NOT NULL CONSTRAINT ck_lane_claimed CHECK (length(claimed) = 39 AND claimed BETWEEN '000000000000000000000000000000000000000' AND '340282366920938463463374607431768211455'),
    CONSTRAINT pk_lane PRIMARY KEY (id),
    CONSTRAINT fk_lane_payer_payee FOREIGN KEY(payer, payee) REFERENCES pair (payer, payee),
    CONSTRAINT uq_lane_payer_payee_lane UNIQUE (payer, payee, lane)
)
 STRICT;

CREATE TABLE outbox_attempt (
    tx_hash BLOB NOT NULL,
    outbox_id INTEGER NOT NULL,
    number INTEGER NOT NULL CONSTRAINT ck_outbox_attempt_number CHECK (number >= 0),
    nonce INTEGER NOT NULL CONSTRAINT ck_outbox_attempt_nonce CHECK (nonce >= 0),
    max_fee TEXT NOT NULL CONSTRAINT ck_outbox_attempt_max_fee CHECK (length(max_fee) = 39 AND max_fee BETWEEN '000000000000000000000000000000000000000' AND '340282366920938463463374607431768211455'),
    tip TEXT NOT NULL CONSTRAINT ck_outbox_attempt_tip CHECK (length(tip) = 39 AND tip BETWEEN '000000000000000000000000000000000000000' AND '340282366920938463463374607431768211455'),
    raw BLOB NOT NULL,
    sent_at INTEGER NOT NULL CONSTRAINT ck_outbox_attempt_sent_at CHECK (sent_at >= 0),
    CONSTRAINT pk_outbox_attempt PRIMARY KEY (tx_hash),
    CONSTRAINT fk_outbox_attempt_outbox_id FOREIGN KEY(outbox_id) REFERENCES outbox (id)
)
 STRICT;

CREATE INDEX ix_outbox_attempt_outbox_id ON outbox_attempt (outbox_id);

CREATE TABLE account (
    lane_id INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    base TEXT NOT NULL CONSTRAINT ck_account_base CHECK (length(base) = 39 AND base BETWEEN '000000000000000000000000000000000000000' AND '340282366920938463463374607431768211455'),
    charged TEXT NOT NULL CONSTRAINT ck_account_charged CHECK (length(charged) = 39 AND charged BETWEEN '000000000000000000000000000000000000000' AND '340282366920938463463374607431768211455'),
    reserved TEXT NOT NULL CONSTRAINT ck_account_reserved CHECK (length(reserved) = 39 AND reserved BETWEEN '000000000000000000000000000000000000000' AND '340282366920938463463374607431768211455'),
    best TEXT NOT NULL CONSTRAINT ck_account_best CHECK (length(best) = 39 AND best BETWEEN '000000000000000000000000000000000000000' AND '340282366920938463463374607431768211455'),
    best_voucher_id INTEGER,
    seq INTEGER NOT NULL CONSTRAINT ck_account_seq CHECK (seq >= 0),
    count INTEGER NOT NULL CONSTRAINT ck_account_count CHECK (count >= 0),
    is_frozen INTEGER NOT NULL,
    CONSTRAINT pk_account PRIMARY KEY (lane_id, generation),
    CONSTRAINT ck_account_charged_above_base CHECK (charged >= base),
    CONSTRAINT fk_account_lane_id FOREIGN KEY(lane_id) REFERENCES lane (id)
)
 WITHOUT ROWID,
 STRICT;

CREATE TABLE voucher (
    id INTEGER NOT NULL,
    lane_id INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    request_id BLOB NOT NULL,
    ceiling TEXT NOT NULL CONSTRAINT ck_voucher_ceiling CHECK (length(ceiling) = 39 AND ceiling BETWEEN '000000000000000000000000000000000000000' AND '340282366920938463463374607431768211455'),
    context BLOB NOT NULL,
    signature BLOB NOT NULL CONSTRAINT ck_voucher_signature CHECK (length(signature) = 65),
    request_hash BLOB NOT NULL,
    agreement_id INTEGER NOT NULL,
    max_price TEXT NOT NULL CONSTRAINT ck_voucher_max_price CHECK (length(max_price) = 39 AND max_price BETWEEN '000000000000000000000000000000000000000' AND '340282366920938463463374607431768211455'),
    start_by INTEGER NOT NULL CONSTRAINT ck_voucher_start_by CHECK (start_by >= 0),
    mode INTEGER NOT NULL,
    flags INTEGER NOT NULL,
    hops INTEGER NOT NULL,
    origin_hash BLOB NOT NULL,
    salt BLOB NOT NULL,
    received_at INTEGER NOT NULL CONSTRAINT ck_voucher_received_at CHECK (received_at >= 0),
    lease INTEGER NOT NULL,
    CONSTRAINT pk_voucher PRIMARY KEY (id),
    CONSTRAINT ck_voucher_request_id CHECK (length(request_id) = 32),
    CONSTRAINT fk_voucher_lane_id_generation FOREIGN KEY(lane_id, generation) REFERENCES account (lane_id, generation),
    CONSTRAINT uq_voucher_lane_id_request_id UNIQUE (lane_id, request_id),
    CONSTRAINT fk_voucher_agreement_id FOREIGN KEY(agreement_id) REFERENCES agreement (id),
    CONSTRAINT fk_voucher_lease FOREIGN KEY(lease) REFERENCES lease (id)
)
 STRICT;

CREATE TABLE claim (
    id INTEGER NOT NULL,
    lane_id INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    seq INTEGER NOT NULL CONSTRAINT ck_claim_seq CHECK (seq >= 0),
    cumulative TEXT NOT NULL CONSTRAINT ck_claim_cumulative CHECK (length(cumulative) = 39 AND cumulative BETWEEN '000000000000000000000000000000000000000' AND '340282366920938463463374607431768211455'),
    receipts_root BLOB NOT NULL,
    count INTEGER NOT NULL CONSTRAINT ck_claim_count CHECK (count >= 0),
    peaks BLOB NOT NULL,
    signature BLOB NOT NULL CONSTRAINT ck_claim_signature CHECK (length(signature) = 65),
    voucher_id INTEGER NOT NULL,
    CONSTRAINT pk_claim PRIMARY KEY (id),
    CONSTRAINT fk_claim_lane_id_generation FOREIGN KEY(lane_id, generation) REFERENCES account (lane_id, generation),
    CONSTRAINT uq_claim_lane_id_generation_count UNIQUE (lane_id, generation, count),
    CONSTRAINT fk_claim_voucher_id FOREIGN KEY(voucher_id) REFERENCES voucher (id)
)
 STRICT;

CREATE INDEX ix_claim_receipts_root ON claim (receipts_root);

CREATE TABLE receipt (
    voucher_id INTEGER NOT NULL,
    lane_id INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    seq INTEGER NOT NULL CONSTRAINT ck_receipt_seq CHECK (seq >= 0),
    position INTEGER NOT NULL CONSTRAINT ck_receipt_position CHECK (position >= 0),
    response_hash BLOB NOT NULL,
    answer_hash BLOB NOT NULL,
    prompt_tokens INTEGER NOT NULL CONSTRAINT ck_receipt_prompt_tokens CHECK (prompt_tokens >= 0),
    completion_tokens INTEGER NOT NULL CONSTRAINT ck_receipt_completion_tokens CHECK (completion_tokens >= 0),
    status INTEGER NOT NULL CONSTRAINT ck_receipt_status CHECK (status BETWEEN 1 AND 4),
    charge TEXT NOT NULL CONSTRAINT ck_receipt_charge CHECK (length(charge) = 39 AND charge BETWEEN '000000000000000000000000000000000000000' AND '340282366920938463463374607431768211455'),
    cumulative TEXT NOT NULL CONSTRAINT ck_receipt_cumulative CHECK (length(cumulative) = 39 AND cumulative BETWEEN '000000000000000000000000000000000000000' AND '340282366920938463463374607431768211455'),
    CONSTRAINT pk_receipt PRIMARY KEY (voucher_id),
    CONSTRAINT ck_receipt_charge_within_cumulative CHECK (charge <= cumulative),
    CONSTRAINT uq_receipt_lane_id_generation_seq UNIQUE (lane_id, generation, seq),
    CONSTRAINT fk_receipt_voucher_id FOREIGN KEY(voucher_id) REFERENCES voucher (id)
)
 STRICT;

CREATE INDEX ix_receipt_seq ON receipt (seq);

CREATE TABLE reservation (
    voucher_id INTEGER NOT NULL,
    CONSTRAINT pk_reservation PRIMARY KEY (voucher_id),
    CONSTRAINT fk_reservation_voucher_id FOREIGN KEY(voucher_id) REFERENCES voucher (id)
)
 STRICT;

CREATE TABLE outbox_claim (
    outbox_id INTEGER NOT NULL,
    claim_id INTEGER NOT NULL,
    CONSTRAINT pk_outbox_claim PRIMARY KEY (outbox_id, claim_id),
    CONSTRAINT fk_outbox_claim_outbox_id FOREIGN KEY(outbox_id) REFERENCES outbox (id),
    CONSTRAINT fk_outbox_claim_claim_id FOREIGN KEY(claim_id) REFERENCES claim (id)
)
 STRICT;

CREATE INDEX ix_outbox_claim_claim_id ON outbox_claim (claim_id);

CREATE TABLE receipt_signature (
    voucher_id INTEGER NOT NULL,
    signature BLOB NOT NULL CONSTRAINT ck_receipt_signature_signature CHECK (length(signature) = 65),
    CONSTRAINT pk_receipt_signature PRIMARY KEY (voucher_id),
    CONSTRAINT fk_receipt_signature_voucher_id FOREIGN KEY(voucher_id) REFERENCES receipt (voucher_id)
)
 STRICT;

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
