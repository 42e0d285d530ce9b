CREATE TABLE duel_canary (
    duel_id BLOB NOT NULL CONSTRAINT ck_duel_canary_duel_id CHECK (length(duel_id) = 32),
    verdict INTEGER NOT NULL CONSTRAINT ck_duel_canary_verdict CHECK (verdict BETWEEN 1 AND 2),
    CONSTRAINT pk_duel_canary PRIMARY KEY (duel_id)
)
 STRICT;
