CREATE TABLE purchase_new (
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
    PRIMARY KEY (payer, payee, lane, request_id),
    CONSTRAINT purchase_state CHECK (state IN ('open', 'done', 'refused', 'dropped'))
);

INSERT INTO purchase_new SELECT * FROM purchase ORDER BY rowid;

CREATE TABLE receipt_new (
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
    PRIMARY KEY (payer, payee, lane, request_id),
    FOREIGN KEY(payer, payee, lane, request_id) REFERENCES purchase_new (payer, payee, lane, request_id),
    CONSTRAINT receipt_amounts CHECK (credit <= charge AND charge <= cumulative)
);

INSERT INTO receipt_new SELECT * FROM receipt ORDER BY rowid;

CREATE TABLE answer_new (
    payer BLOB NOT NULL,
    payee BLOB NOT NULL,
    lane BLOB NOT NULL,
    request_id BLOB NOT NULL,
    message TEXT NOT NULL,
    signature BLOB NOT NULL,
    PRIMARY KEY (payer, payee, lane, request_id),
    FOREIGN KEY(payer, payee, lane, request_id) REFERENCES receipt_new (payer, payee, lane, request_id)
);

INSERT INTO answer_new
SELECT answer.payer, receipt.payee, answer.lane, answer.request_id, answer.message, answer.signature
FROM answer JOIN receipt USING (payer, lane, request_id);

DROP TABLE answer;

DROP TABLE receipt;

DROP TABLE purchase;

ALTER TABLE purchase_new RENAME TO purchase;

ALTER TABLE receipt_new RENAME TO receipt;

ALTER TABLE answer_new RENAME TO answer;

CREATE INDEX purchase_by_state ON purchase (state, start_by);

CREATE INDEX purchase_by_body ON purchase (body_hash, created_at);

CREATE INDEX receipt_by_seq ON receipt (payer, payee, lane, generation, seq);
