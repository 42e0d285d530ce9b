CREATE TABLE duel_evidence (
    duel_id BLOB NOT NULL CONSTRAINT ck_duel_evidence_duel_id CHECK (length(duel_id) = 32),
    evidence BLOB NOT NULL,
    kept_at INTEGER NOT NULL CONSTRAINT ck_duel_evidence_kept_at CHECK (kept_at >= 0),
    CONSTRAINT pk_duel_evidence PRIMARY KEY (duel_id)
)
 STRICT;
