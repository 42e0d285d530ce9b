CREATE VIEW duel AS
SELECT opened.subject AS duel_id, opened.block_number AS opened_block, opened.log_index,
       chain_block.timestamp AS opened_at, ended.block_number AS ended_block,
       json_extract(opened.args, '$.first') AS first,
       json_extract(opened.args, '$.second') AS second,
       json_extract(opened.args, '$.dispatcher') AS dispatcher,
       json_extract(opened.args, '$.requestId') AS request_id,
       json_extract(opened.args, '$.firstAnswer') AS first_answer,
       json_extract(opened.args, '$.secondAnswer') AS second_answer,
       json_extract(opened.args, '$.evidenceRoot') AS evidence_root,
       CAST(json_extract(opened.args, '$.epoch') AS INTEGER) AS epoch,
       CAST(json_extract(opened.args, '$.attempt') AS INTEGER) AS attempt,
       CAST(json_extract(opened.args, '$.drawBlock') AS INTEGER) AS draw_block,
       substr('000000000000000000000000000000000000000' || json_extract(opened.args, '$.prize'), -39) AS prize,
       substr('000000000000000000000000000000000000000' || json_extract(ended.args, '$.slashed'), -39) AS slashed,
       substr('000000000000000000000000000000000000000' || json_extract(ended.args, '$.share'), -39) AS share,
       substr('000000000000000000000000000000000000000' || json_extract(ended.args, '$.bondBack'), -39) AS bond_back,
       substr('000000000000000000000000000000000000000' || json_extract(ended.args, '$.appealBack'), -39) AS appeal_back,
       CAST(json_extract(ended.args, '$.outcome') AS INTEGER) AS outcome
FROM chain_event AS opened
JOIN chain_block ON chain_block.hash = opened.block_hash
LEFT JOIN chain_event AS ended ON ended.kind = 'duel' AND ended.subject = opened.subject AND ended.name = 'Finalized'
WHERE opened.kind = 'duel' AND opened.name = 'Opened';
