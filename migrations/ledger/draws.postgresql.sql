CREATE TABLE draw (
    request_id BYTEA NOT NULL CONSTRAINT ck_draw_request_id CHECK (length(request_id) = 32),
    round BIGINT NOT NULL,
    document TEXT NOT NULL,
    signature BYTEA NOT NULL CONSTRAINT ck_draw_signature CHECK (length(signature) = 65),
    made_at BIGINT NOT NULL,
    CONSTRAINT pk_draw PRIMARY KEY (request_id, round)
);

CREATE INDEX ix_draw_made_at ON draw (made_at);
