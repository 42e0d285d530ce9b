CREATE TABLE purse (
    payer BLOB NOT NULL,
    payee BLOB NOT NULL,
    lane BLOB NOT NULL,
    generation INTEGER NOT NULL,
    base TEXT NOT NULL,
    ceiling TEXT NOT NULL,
    heard TEXT NOT NULL,
    explained TEXT NOT NULL,
    verified TEXT NOT NULL,
    in_flight TEXT NOT NULL,
    gap_since INTEGER,
    PRIMARY KEY (payer, payee, lane, generation),
    CONSTRAINT purse_verified_is_explained CHECK (verified <= explained)
);

CREATE TABLE stopped (
    payer BLOB NOT NULL,
    payee BLOB NOT NULL,
    reason TEXT NOT NULL,
    stopped_at INTEGER NOT NULL,
    PRIMARY KEY (payer, payee)
);

CREATE TABLE spend (
    day INTEGER NOT NULL,
    amount TEXT NOT NULL,
    PRIMARY KEY (day)
);

CREATE TABLE purchase (
    payer BLOB NOT NULL,
    payee BLOB NOT NULL,
    lane BLOB NOT NULL,
    generation INTEGER NOT NULL,
    request_id BLOB NOT NULL,
    state TEXT NOT NULL,
    terms TEXT NOT NULL,
    salt BLOB NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    day INTEGER NOT NULL,
    start_by INTEGER NOT NULL,
    url TEXT NOT NULL,
    path TEXT NOT NULL,
    body_hash BLOB NOT NULL,
    retry_key TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    tokens_seen INTEGER NOT NULL,
    hung_up INTEGER NOT NULL,
    PRIMARY KEY (payer, lane, request_id),
    CONSTRAINT purchase_state CHECK (state IN ('open', 'done', 'refused', 'dropped'))
);

CREATE INDEX purchase_by_state ON purchase (state, start_by);

CREATE INDEX purchase_by_body ON purchase (body_hash, created_at);

CREATE TABLE finding (
    id INTEGER NOT NULL,
    found_at INTEGER NOT NULL,
    payer BLOB NOT NULL,
    payee BLOB NOT NULL,
    code TEXT NOT NULL,
    message TEXT NOT NULL,
    evidence TEXT NOT NULL,
    PRIMARY KEY (id)
);

CREATE TABLE settlement (
    tx_hash BLOB NOT NULL,
    log_index INTEGER NOT NULL,
    block_number INTEGER NOT NULL,
    payer BLOB NOT NULL,
    payee BLOB NOT NULL,
    lane BLOB NOT NULL,
    generation INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    cumulative TEXT NOT NULL,
    paid TEXT NOT NULL,
    claimed_after TEXT NOT NULL,
    count INTEGER NOT NULL,
    root BLOB NOT NULL,
    verdict TEXT NOT NULL,
    PRIMARY KEY (tx_hash, log_index)
);

CREATE TABLE cursor (
    name TEXT NOT NULL,
    block_number INTEGER NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE receipt (
    payer BLOB NOT NULL,
    payee BLOB NOT NULL,
    lane BLOB NOT NULL,
    generation INTEGER NOT NULL,
    request_id BLOB NOT NULL,
    seq INTEGER NOT NULL,
    charge TEXT NOT NULL,
    credit TEXT NOT NULL,
    cumulative TEXT NOT NULL,
    message TEXT NOT NULL,
    signature BLOB NOT NULL,
    booked_at INTEGER NOT NULL,
    PRIMARY KEY (payer, lane, request_id),
    FOREIGN KEY(payer, lane, request_id) REFERENCES purchase (payer, lane, request_id),
    CONSTRAINT receipt_amounts CHECK (credit <= charge AND charge <= cumulative)
);

CREATE INDEX receipt_by_seq ON receipt (payer, payee, lane, generation, seq);
