CREATE VIEW duel AS
SELECT opened.subject AS duel_id, opened.block_number AS opened_block, opened.log_index,
       chain_block.timestamp AS opened_at, ended.block_number AS ended_block,
       opened.args::json ->> 'first' AS first,
       opened.args::json ->> 'second' AS second,
       opened.args::json ->> 'dispatcher' AS dispatcher,
       opened.args::json ->> 'requestId' AS request_id,
       opened.args::json ->> 'firstAnswer' AS first_answer,
       opened.args::json ->> 'secondAnswer' AS second_answer,
       opened.args::json ->> 'evidenceRoot' AS evidence_root,
       CAST(opened.args::json ->> 'epoch' AS BIGINT) AS epoch,
       CAST(opened.args::json ->> 'attempt' AS BIGINT) AS attempt,
       CAST(opened.args::json ->> 'drawBlock' AS BIGINT) AS draw_block,
       CAST(opened.args::json ->> 'prize' AS NUMERIC(39, 0)) AS prize,
       CAST(ended.args::json ->> 'slashed' AS NUMERIC(39, 0)) AS slashed,
       CAST(ended.args::json ->> 'share' AS NUMERIC(39, 0)) AS share,
       CAST(ended.args::json ->> 'bondBack' AS NUMERIC(39, 0)) AS bond_back,
       CAST(ended.args::json ->> 'appealBack' AS NUMERIC(39, 0)) AS appeal_back,
       CAST(ended.args::json ->> 'outcome' AS BIGINT) AS outcome
FROM chain_event AS opened
JOIN chain_block ON chain_block.hash = opened.block_hash
LEFT JOIN chain_event AS ended ON ended.kind = 'duel' AND ended.subject = opened.subject AND ended.name = 'Finalized'
WHERE opened.kind = 'duel' AND opened.name = 'Opened';
