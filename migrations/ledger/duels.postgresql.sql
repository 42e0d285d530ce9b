CREATE TABLE duel_case (
    duel_id BYTEA NOT NULL CONSTRAINT ck_duel_case_duel_id CHECK (length(duel_id) = 32),
    epoch BIGINT NOT NULL,
    attempt INTEGER NOT NULL,
    fee NUMERIC(39, 0) NOT NULL CONSTRAINT ck_duel_case_fee CHECK (fee >= 0 AND fee < 340282366920938463463374607431768211456),
    first TEXT NOT NULL,
    second TEXT NOT NULL,
    evidence BYTEA NOT NULL,
    made_at BIGINT NOT NULL CONSTRAINT ck_duel_case_made_at CHECK (made_at >= 0),
    CONSTRAINT pk_duel_case PRIMARY KEY (duel_id)
);

CREATE TABLE duel_seed (
    epoch BIGINT NOT NULL,
    seed BYTEA NOT NULL,
    CONSTRAINT pk_duel_seed PRIMARY KEY (epoch)
);

CREATE TABLE duel_vote (
    duel_id BYTEA NOT NULL CONSTRAINT ck_duel_vote_duel_id CHECK (length(duel_id) = 32),
    seat INTEGER NOT NULL,
    vote INTEGER NOT NULL CONSTRAINT ck_duel_vote_vote CHECK (vote BETWEEN 1 AND 4),
    salt BYTEA NOT NULL,
    rationale TEXT NOT NULL,
    CONSTRAINT pk_duel_vote PRIMARY KEY (duel_id, seat)
);
