// SPDX-License-Identifier: MIT
pragma solidity 0.8.37;

import {Test} from "forge-std/Test.sol";

import {Item} from "../src/interfaces/IEscrow.sol";
import {Answer, Claim, Messages, Receipt as SignedReceipt, SignerConsent} from "../src/libraries/Messages.sol";
import {TypedData} from "./base/TypedData.sol";

/// @notice `tests/vectors/eip712.json`, written by eth-account, hashed here word by word, and by the contracts' own code.
contract VectorsTest is Test {
    using Messages for *;

    string private json;
    string private constant TERMS =
        "Terms(bytes32 requestId,bytes32 requestHash,bytes32 offerHash,bytes32 model,bytes32 tokenizer,bytes32 template,uint128 pricePrompt,uint128 priceCompletion,uint128 maxPrice,uint64 startBy,uint8 mode,uint32 flags,uint8 hops,bytes32 originHash)";
    string private constant VOUCHER =
        "Voucher(address payer,address payee,uint32 generation,uint128 ceiling,bytes32 context)";
    string private constant RECEIPT =
        "Receipt(address payer,address payee,address lane,uint32 generation,uint64 seq,bytes32 requestId,bytes32 context,bytes32 requestHash,bytes32 responseHash,bytes32 answerHash,uint32 promptTokens,uint32 completionTokens,uint8 status,uint128 charge,uint128 cumulative)";
    string private constant CLAIM =
        "Claim(address payer,address payee,address lane,uint32 generation,uint64 seq,uint128 cumulative,bytes32 receiptsRoot,uint32 count)";
    string private constant CONSENT = "SignerConsent(address payer,uint128 cap,uint64 deadline)";
    string private constant ANSWER =
        "Answer(address payer,address lane,uint32 generation,bytes32 requestId,bytes32 requestHash,bytes32 responseHash,bytes32 model,address executor,bytes32 nonceCommit)";
    string private constant MODEL_OFFER =
        "ModelOffer(string name,bytes32 tokenizer,bytes32 template,uint128 pricePrompt,uint128 priceCompletion,uint32 contextLength,uint32 maxCompletion)";
    string private constant OFFER =
        "Offer(address payee,uint64 number,ModelOffer[] models,uint128 minimumBudget,uint64 validFrom,uint64 validUntil)";

    function setUp() public {
        json = vm.readFile("tests/vectors/eip712.json");
    }

    function test_vectors__domain__isTheHandMadeOne() public view {
        address escrow = vm.parseJsonAddress(json, ".domain.verifyingContract");
        assertEq(TypedData.separator(31_337, escrow), vm.parseJsonBytes32(json, ".domain.separator"));
    }

    function test_vectors__flatMessages__hashByHand() public view {
        _check("Terms", TERMS, "bbbbbbuuuuuuub");
        _check("Voucher", VOUCHER, "aauub");
        _check("Receipt", RECEIPT, "aaauubbbbbuuuuu");
        _check("Claim", CLAIM, "aaauuubu");
        _check("SignerConsent", CONSENT, "auu");
        _check("Answer", ANSWER, "aaubbbbab");
        _check("ModelOffer", MODEL_OFFER, "sbbuuuu");
    }

    function test_vectors__offer__hashesByHand() public view {
        _checkType("Offer", string.concat(OFFER, MODEL_OFFER));
        uint256[3] memory counts = [uint256(2), 0, 1];
        for (uint256 i = 0; i < 3; ++i) {
            string memory path = _path("Offer", i);
            bytes memory models;
            for (uint256 j = 0; j < counts[i]; ++j) {
                string memory at_ = string.concat(path, ".fields.models[", vm.toString(j), "]");
                models = bytes.concat(models, _hash(MODEL_OFFER, "sbbuuuu", at_));
            }
            string memory f = string.concat(path, ".fields.");
            bytes memory words = abi.encode(
                keccak256(bytes(string.concat(OFFER, MODEL_OFFER))),
                vm.parseJsonAddress(json, string.concat(f, "payee")),
                vm.parseJsonUint(json, string.concat(f, "number")),
                keccak256(models),
                vm.parseJsonUint(json, string.concat(f, "minimumBudget")),
                vm.parseJsonUint(json, string.concat(f, "validFrom")),
                vm.parseJsonUint(json, string.concat(f, "validUntil"))
            );
            _checkDigest(path, keccak256(words));
        }
    }

    /// @dev The code that the escrow runs, against the same file.
    function test_vectors__contracts__hashTheSame() public view {
        for (uint256 i = 0; i < 3; ++i) {
            assertEq(_claim(_path("Claim", i)).hash(), _structHash("Claim", i));
            assertEq(_receipt(_path("Receipt", i)).hash(), _structHash("Receipt", i));
            assertEq(_consent(_path("SignerConsent", i)).hash(), _structHash("SignerConsent", i));
            assertEq(_answer(_path("Answer", i)).hash(), _structHash("Answer", i));
            Item memory row = _row(_path("Claim", i));
            address lane = vm.parseJsonAddress(json, string.concat(_path("Claim", i), ".fields.lane"));
            assertEq(this.claimHash(row, lane), _structHash("Claim", i));
            assertEq(this.voucherHash(_voucherRow(_path("Voucher", i))), _structHash("Voucher", i));
        }
    }

    function claimHash(Item calldata row, address lane) external pure returns (bytes32) {
        return row.claimHash(lane);
    }

    function voucherHash(Item calldata row) external pure returns (bytes32) {
        return row.voucherHash();
    }

    // ------------------------------------------------------------------------------------------------ hashing by hand
    function _check(string memory name, string memory typeString, string memory kinds) private view {
        _checkType(name, typeString);
        for (uint256 i = 0; i < 3; ++i) {
            string memory path = _path(name, i);
            _checkDigest(path, _hash(typeString, kinds, string.concat(path, ".fields")));
        }
    }

    function _checkType(string memory name, string memory typeString) private view {
        string memory path = string.concat(".messages.", name);
        assertEq(vm.parseJsonString(json, string.concat(path, ".type")), typeString);
        assertEq(vm.parseJsonBytes32(json, string.concat(path, ".typeHash")), keccak256(bytes(typeString)));
    }

    /// @dev The digest, and who signed it.
    function _checkDigest(string memory path, bytes32 structHash) private view {
        assertEq(structHash, vm.parseJsonBytes32(json, string.concat(path, ".structHash")), path);
        bytes32 digest = TypedData.digest(vm.parseJsonBytes32(json, ".domain.separator"), structHash);
        assertEq(digest, vm.parseJsonBytes32(json, string.concat(path, ".digest")), path);
        bytes32 vs = vm.parseJsonBytes32(json, string.concat(path, ".vs"));
        bytes32 r = vm.parseJsonBytes32(json, string.concat(path, ".r"));
        address signer = ecrecover(digest, uint8(uint256(vs) >> 255) + 27, r, (vs << 1) >> 1);
        assertEq(signer, vm.parseJsonAddress(json, string.concat(path, ".signer")), path);
    }

    /// @dev Field names come from the type string; `kinds` says per field how a word is made: a, u, b or s.
    function _hash(string memory typeString, string memory kinds, string memory path) private view returns (bytes32) {
        bytes memory words = abi.encode(keccak256(bytes(typeString)));
        bytes memory text = bytes(typeString);
        uint256 from = 0;
        uint256 field = 0;
        for (uint256 i = 0; i < text.length; ++i) {
            if (text[i] == " ") from = i + 1;
            if (text[i] != "," && text[i] != ")") continue;
            string memory key = string.concat(path, ".", _slice(text, from, i));
            words = bytes.concat(words, _word(bytes(kinds)[field++], key));
        }
        assertEq(field, bytes(kinds).length);
        return keccak256(words);
    }

    function _word(bytes1 kind, string memory key) private view returns (bytes32) {
        if (kind == "a") return bytes32(uint256(uint160(vm.parseJsonAddress(json, key))));
        if (kind == "u") return bytes32(vm.parseJsonUint(json, key));
        if (kind == "s") return keccak256(bytes(vm.parseJsonString(json, key)));
        return vm.parseJsonBytes32(json, key);
    }

    function _slice(bytes memory text, uint256 from, uint256 to) private pure returns (string memory) {
        bytes memory part = new bytes(to - from);
        for (uint256 i = from; i < to; ++i) {
            part[i - from] = text[i];
        }
        return string(part);
    }

    // --------------------------------------------------------------------------------------------- structs of the file
    function _claim(string memory path) private view returns (Claim memory) {
        Item memory row = _row(path);
        address lane = vm.parseJsonAddress(json, string.concat(path, ".fields.lane"));
        return Claim(row.payer, row.payee, lane, row.generation, row.seq, row.cumulative, row.receiptsRoot, row.count);
    }

    function _row(string memory path) private view returns (Item memory row) {
        _pairOf(row, path);
        row.seq = uint64(_uint(path, "seq"));
        row.cumulative = uint128(_uint(path, "cumulative"));
        row.count = uint32(_uint(path, "count"));
        row.receiptsRoot = _bytes32(path, "receiptsRoot");
    }

    function _voucherRow(string memory path) private view returns (Item memory row) {
        _pairOf(row, path);
        row.ceiling = uint128(_uint(path, "ceiling"));
        row.context = _bytes32(path, "context");
    }

    function _pairOf(Item memory row, string memory path) private view {
        row.payer = _address(path, "payer");
        row.payee = _address(path, "payee");
        row.generation = uint32(_uint(path, "generation"));
    }

    function _receipt(string memory path) private view returns (SignedReceipt memory r) {
        (r.payer, r.payee, r.lane) = (_address(path, "payer"), _address(path, "payee"), _address(path, "lane"));
        r.generation = uint32(_uint(path, "generation"));
        r.seq = uint64(_uint(path, "seq"));
        r.requestId = _bytes32(path, "requestId");
        r.context = _bytes32(path, "context");
        r.requestHash = _bytes32(path, "requestHash");
        r.responseHash = _bytes32(path, "responseHash");
        r.answerHash = _bytes32(path, "answerHash");
        r.promptTokens = uint32(_uint(path, "promptTokens"));
        r.completionTokens = uint32(_uint(path, "completionTokens"));
        r.status = uint8(_uint(path, "status"));
        r.charge = uint128(_uint(path, "charge"));
        r.cumulative = uint128(_uint(path, "cumulative"));
    }

    function _consent(string memory path) private view returns (SignerConsent memory) {
        return SignerConsent(_address(path, "payer"), uint128(_uint(path, "cap")), uint64(_uint(path, "deadline")));
    }

    function _answer(string memory path) private view returns (Answer memory a) {
        (a.payer, a.lane, a.executor) = (_address(path, "payer"), _address(path, "lane"), _address(path, "executor"));
        a.generation = uint32(_uint(path, "generation"));
        (a.requestId, a.requestHash) = (_bytes32(path, "requestId"), _bytes32(path, "requestHash"));
        (a.responseHash, a.model) = (_bytes32(path, "responseHash"), _bytes32(path, "model"));
        a.nonceCommit = _bytes32(path, "nonceCommit");
    }

    function _address(string memory path, string memory field) private view returns (address) {
        return vm.parseJsonAddress(json, string.concat(path, ".fields.", field));
    }

    function _uint(string memory path, string memory field) private view returns (uint256) {
        return vm.parseJsonUint(json, string.concat(path, ".fields.", field));
    }

    function _bytes32(string memory path, string memory field) private view returns (bytes32) {
        return vm.parseJsonBytes32(json, string.concat(path, ".fields.", field));
    }

    function _structHash(string memory name, uint256 i) private view returns (bytes32) {
        return vm.parseJsonBytes32(json, string.concat(_path(name, i), ".structHash"));
    }

    function _path(string memory name, uint256 i) private pure returns (string memory) {
        return string.concat(".messages.", name, ".cases[", vm.toString(i), "]");
    }
}
