"""Rows of voucher, receipt and signature as the `Stored` they came from: one SELECT, one decoder for all readers."""

from node.adapters.ledger.hot import Row
from node.core.account import Admission
from node.core.messages import Receipt, Terms, Voucher
from node.core.types import Amount, LaneKey, Signature
from node.ports.ledger import Stored

STORED = """SELECT voucher.id, lane.payer, lane.payee, lane.lane, voucher.generation, voucher.request_id,
       voucher.ceiling, voucher.context, voucher.signature, voucher.request_hash, agreement.offer_hash, agreement.model,
       agreement.tokenizer, agreement.template, agreement.price_prompt, agreement.price_completion, voucher.max_price,
       voucher.start_by, voucher.mode, voucher.flags, voucher.hops, voucher.origin_hash, voucher.salt,
       voucher.received_at, voucher.lease, receipt.seq, receipt.response_hash, receipt.answer_hash,
       receipt.prompt_tokens, receipt.completion_tokens, receipt.status, receipt.charge, receipt.cumulative,
       receipt_signature.signature AS receipt_signature
FROM {wanted} voucher
JOIN lane ON lane.id = voucher.lane_id
JOIN agreement ON agreement.id = voucher.agreement_id
LEFT JOIN receipt ON receipt.voucher_id = voucher.id
LEFT JOIN receipt_signature ON receipt_signature.voucher_id = voucher.id"""
"""`{wanted}` = "" or a list of keys to match (see `Words.select_wanted`)."""
_RECEIPT = 25
"""Where the receipt's columns begin."""


def stored_of(row: Row) -> Stored:
    """One row of `STORED`."""
    admission = admission_of(row)
    if row[_RECEIPT] is None:
        return Stored(admission)
    signature = row[_RECEIPT + 8]
    receipt = _receipt_of(admission, row[_RECEIPT:])
    return Stored(admission, receipt, None if signature is None else Signature(bytes(signature)))


def admission_of(row: Row) -> Admission:
    """The request as it was admitted."""
    generation, request_id, ceiling, context, signature = row[4:9]
    request_hash, offer_hash, model, tokenizer, template, price_prompt, price_completion, max_price = row[9:17]
    start_by, mode, flags, hops, origin_hash = row[17:22]
    terms = Terms(
        request_id=request_id,
        request_hash=request_hash,
        offer_hash=offer_hash,
        model=model,
        tokenizer=tokenizer,
        template=template,
        price_prompt=Amount(int(price_prompt)),
        price_completion=Amount(int(price_completion)),
        max_price=Amount(int(max_price)),
        start_by=start_by,
        mode=mode,
        flags=flags,
        hops=hops,
        origin_hash=origin_hash,
    )
    voucher = Voucher(row[1], row[2], generation, Amount(int(ceiling)), context)
    key = LaneKey(row[1], row[2], row[3], generation)
    return Admission(key, voucher, signature, terms, salt=row[22], received_at=row[23], lease=row[24])


def _receipt_of(admission: Admission, row: Row) -> Receipt:
    seq, response_hash, answer_hash, prompt, completion, status, charge, cumulative, _ = row
    key, terms = admission.key, admission.terms
    return Receipt(
        payer=key.payer,
        payee=key.payee,
        lane=key.lane,
        generation=key.generation,
        seq=seq,
        request_id=terms.request_id,
        context=admission.voucher.context,
        request_hash=terms.request_hash,
        response_hash=response_hash,
        answer_hash=answer_hash,
        prompt_tokens=prompt,
        completion_tokens=completion,
        status=status,
        charge=Amount(int(charge)),
        cumulative=Amount(int(cumulative)),
    )
