CREATE TABLE draw (
    request_id BLOB NOT NULL CONSTRAINT ck_draw_request_id CHECK (length(request_id) = 32),
    round INTEGER NOT NULL,
    document TEXT NOT NULL,
    signature BLOB NOT NULL CONSTRAINT ck_draw_signature CHECK (length(signature) = 65),
    made_at INTEGER NOT NULL,
    CONSTRAINT pk_draw PRIMARY KEY (request_id, round)
)
 STRICT;

CREATE INDEX ix_draw_made_at ON draw (made_at);
