CREATE TABLE answer (
    payer BLOB NOT NULL,
    lane BLOB NOT NULL,
    request_id BLOB NOT NULL,
    message TEXT NOT NULL,
    signature BLOB NOT NULL,
    PRIMARY KEY (payer, lane, request_id),
    FOREIGN KEY(payer, lane, request_id) REFERENCES receipt (payer, lane, request_id)
);
