CREATE TABLE duel_case (
    duel_id BLOB NOT NULL CONSTRAINT ck_duel_case_duel_id CHECK (length(duel_id) = 32),
    epoch INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    fee TEXT NOT NULL CONSTRAINT ck_duel_case_fee CHECK (length(fee) = 39 AND fee BETWEEN '000000000000000000000000000000000000000' AND '340282366920938463463374607431768211455'),
    first TEXT NOT NULL,
    second TEXT NOT NULL,
    evidence BLOB NOT NULL,
    made_at INTEGER NOT NULL CONSTRAINT ck_duel_case_made_at CHECK (made_at >= 0),
    CONSTRAINT pk_duel_case PRIMARY KEY (duel_id)
)
 STRICT;

CREATE TABLE duel_seed (
    epoch INTEGER NOT NULL,
    seed BLOB NOT NULL,
    CONSTRAINT pk_duel_seed PRIMARY KEY (epoch)
)
 STRICT;

CREATE TABLE duel_vote (
    duel_id BLOB NOT NULL CONSTRAINT ck_duel_vote_duel_id CHECK (length(duel_id) = 32),
    seat INTEGER NOT NULL,
    vote INTEGER NOT NULL CONSTRAINT ck_duel_vote_vote CHECK (vote BETWEEN 1 AND 4),
    salt BLOB NOT NULL,
    rationale TEXT NOT NULL,
    CONSTRAINT pk_duel_vote PRIMARY KEY (duel_id, seat)
)
 STRICT;
