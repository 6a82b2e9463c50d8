// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ReceiptAnchor} from "../../src/ReceiptAnchor.sol";
import {Authorization, PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {Share} from "../../src/interfaces/IModelRegistry.sol";
import {MarketTest} from "../helpers/MarketTest.sol";

/// @notice What each operation costs as a transaction of its own. `tools/contracts.py gas` compares with the committed
/// snapshot; it runs every call in isolation, so 21,000 and the call data are included. The operations and the state
/// they start from are those of docs/gas.md, which holds the receipts of a chain.
contract GasTest is MarketTest {
    uint256 internal planId;
    uint256 internal other;

    function setUp() public override {
        super.setUp();
        other = publish(outsider);
        address[8] memory rich = [holder, publisher, payee, friend, buyer, admin, treasury, outsider];
        for (uint256 i = 0; i < rich.length; ++i) {
            usd.mint(rich[i], 1e15);
            vm.deal(rich[i], 1e30);
        }
        vm.prank(holder);
        usd.approve(address(market), type(uint256).max);
        planId = sellingPlan(gasTerms());
    }

    /// Those of `terms`, with room for the batches.
    function gasTerms() internal view returns (PlanTerms memory plan) {
        plan = terms();
        plan.supply = 1_000;
    }

    /// A plan of which somebody bought a licence, so that its rows were written before.
    function sellingPlan(PlanTerms memory plan) internal returns (uint256 id) {
        id = addPlan(plan);
        buyFor(id, friend);
    }

    /// The holder buys for itself; snapshots the first time and the second.
    function snapshotBuying(PlanTerms memory plan, string memory what) internal {
        uint256 id = sellingPlan(plan);
        bytes32 agreed = market.planHash(id);
        uint256 value = valueOf(id);
        string[2] memory times = [", new buyer", ", again"];
        for (uint256 i = 0; i < 2; ++i) {
            vm.prank(holder);
            market.buy{value: value}(id, agreed, holder);
            vm.snapshotGasLastCall(string.concat("buy, ", what, times[i]));
        }
    }

    function test_Publish() public {
        vm.prank(buyer);
        registry.publish(keccak256("a"), new Share[](0), 0);
        vm.snapshotGasLastCall("publish, first of a publisher");
        vm.prank(buyer);
        registry.publish(keccak256("b"), new Share[](0), 0);
        vm.snapshotGasLastCall("publish, later");
    }

    function test_PublishWithParents() public {
        publish(buyer);
        string[4] memory names = ["", "publish, one parent", "", "publish, three parents"];
        for (uint256 count = 1; count <= 3; count += 2) {
            Share[] memory parents = ancestry(count, 500);
            vm.prank(buyer);
            registry.publish(keccak256("c"), parents, 0);
            vm.snapshotGasLastCall(names[count]);
        }
    }

    function test_Release() public {
        vm.prank(publisher);
        registry.release(modelId, keccak256("b"));
        vm.snapshotGasLastCall("release");
    }

    function test_AddPlan() public {
        PlanTerms memory plan = gasTerms();
        vm.prank(publisher);
        market.addPlan(plan);
        vm.snapshotGasLastCall("addPlan");
    }

    function test_RegisterOperator() public {
        vm.prank(outsider);
        market.registerOperator(operatorKey, payee);
        vm.snapshotGasLastCall("registerOperator");
    }

    function test_Suspend() public {
        suspend(modelId);
        vm.snapshotGasLastCall("suspend");
    }

    function test_BuyVesting() public {
        snapshotBuying(gasTerms(), "vesting");
    }

    function test_BuyWithoutEntryShare() public {
        PlanTerms memory plan = gasTerms();
        plan.entryBps = 0;
        snapshotBuying(plan, "vesting, no entry share");
    }

    function test_BuyAtOnce() public {
        PlanTerms memory plan = gasTerms();
        plan.vesting = 0;
        snapshotBuying(plan, "at once");
    }

    function test_BuyInCoin() public {
        PlanTerms memory plan = nativeTerms();
        plan.supply = 1_000;
        snapshotBuying(plan, "coin, vesting");
    }

    function test_BuyWithPermit() public {
        bytes32 agreed = market.planHash(planId);
        bytes32 kind = keccak256("Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)");
        bytes32 request = keccak256(abi.encode(kind, outsider, address(market), PRICE, 0, START + 2 ** 28));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keyOf("outsider"), usdDigest(request));
        vm.prank(outsider);
        market.buyWithPermit(planId, agreed, outsider, START + 2 ** 28, v, r, s);
        vm.snapshotGasLastCall("buyWithPermit, vesting, new buyer");
    }

    function test_BuyWithAuthorization() public {
        bytes32 agreed = market.planHash(planId);
        Authorization memory by = Authorization(outsider, 0, START + 2 ** 28, keccak256("salt"));
        bytes32 nonce = market.authorizationNonce(planId, agreed, outsider, by.salt);
        bytes32 kind = keccak256(
            "ReceiveWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)"
        );
        bytes32 request =
            keccak256(abi.encode(kind, outsider, address(market), uint256(PRICE), 0, by.validBefore, nonce));
        (uint8 v, bytes32 r, bytes32 s) = vm.sign(keyOf("outsider"), usdDigest(request));
        vm.prank(friend);
        market.buyWithAuthorization(planId, agreed, outsider, by, v, r, s);
        vm.snapshotGasLastCall("buyWithAuthorization, vesting, new buyer");
    }

    function test_RenewAndLeave() public {
        PlanTerms memory plan = gasTerms();
        plan.calls = 1_000;
        uint256 licenceId = buy(planId);
        uint256 metered = buy(sellingPlan(plan));
        skip(10 days);
        uint256 before = vm.snapshotState();
        snapshotRenewal(licenceId, "renew");
        vm.revertToState(before);
        snapshotRenewal(metered, "renew, metered");
        vm.revertToState(before);
        vm.prank(holder);
        market.transferFrom(holder, outsider, licenceId);
        vm.snapshotGasLastCall("transfer");
        vm.revertToState(before);

        vm.prank(holder);
        market.cancel(licenceId, holder);
        vm.snapshotGasLastCall("cancel, unmetered");
        vm.prank(holder);
        market.cancel(metered, holder);
        vm.snapshotGasLastCall("cancel, metered");
        skip(6 hours);
        vm.prank(holder);
        market.settle(metered, holder);
        vm.snapshotGasLastCall("settle");
    }

    function snapshotRenewal(uint256 licenceId, string memory what) internal {
        bytes32 agreed = market.planHash(licenceId >> 32);
        vm.prank(holder);
        market.renew(licenceId, agreed);
        vm.snapshotGasLastCall(what);
    }

    function test_Batches() public {
        PlanTerms memory plan = gasTerms();
        plan.calls = 1_000;
        uint256 metered = sellingPlan(plan);
        uint256[] memory licences = new uint256[](50);
        uint256[] memory scattered = new uint256[](50);
        uint32[] memory used = new uint32[](50);
        for (uint256 i = 0; i < 50; ++i) {
            (licences[i], used[i]) = (buy(metered), 500);
            scattered[i] = buy(addPlan(gasTerms()));
        }
        skip(10 days);
        uint256 before = vm.snapshotState();
        market.collect(licences);
        vm.snapshotGasLastCall("collect, 50 of one plan");
        vm.revertToState(before);
        market.collect(scattered);
        vm.snapshotGasLastCall("collect, 50 of 50 plans");
        vm.prank(operatorKey);
        market.reportUsage(licences, used);
        vm.snapshotGasLastCall("reportUsage, 50 of one plan");
    }

    function test_Deliver() public {
        PlanTerms memory plan = downloadTerms();
        plan.flags = RUN | DOWNLOAD;
        uint256 licenceId = buy(sellingPlan(plan));
        bytes32 key = keccak256("key");
        bytes memory signature = sign("holder", deliverDigest(licenceId, key, START + 2 ** 28));
        vm.prank(operatorKey);
        market.deliver(licenceId, key, START + 2 ** 28, signature, keccak256("wrapped"));
        vm.snapshotGasLastCall("deliver");
    }

    function test_Split() public {
        string[9] memory names;
        (names[0], names[3], names[8]) = ("split, no ancestors", "split, three ancestors", "split, eight ancestors");
        for (uint256 count = 0; count <= 8; ++count) {
            if (bytes(names[count]).length == 0) continue;
            PlanTerms memory plan = gasTerms();
            plan.modelId = publishFrom(publisher, ancestry(count, 600), 0);
            uint256 id = sellingPlan(plan);
            shareOut(id);
            skip(1 days);
            shareOut(id);
            vm.snapshotGasLastCall(names[count]);
        }
    }

    function test_Withdraw() public {
        address[2] memory tokens = [address(usd), address(0)];
        string[2] memory names = ["token", "coin"];
        for (uint256 i = 0; i < 2; ++i) {
            PlanTerms memory plan = gasTerms();
            plan.token = tokens[i];
            shareOut(sellingPlan(plan));
            vm.prank(publisher);
            market.withdraw(modelId, tokens[i], publisher);
            vm.snapshotGasLastCall(string.concat("withdraw, ", names[i], ", to a non-zero balance"));
        }
        vm.prank(payee);
        market.withdrawAccount(address(usd), payee);
        vm.snapshotGasLastCall("withdrawAccount, token, to a non-zero balance");
    }

    function test_Anchor() public {
        ReceiptAnchor anchor = new ReceiptAnchor(market);
        vm.startPrank(operatorKey);
        anchor.anchor(operatorId, keccak256("root"), 100, keccak256("cid"));
        vm.snapshotGasLastCall("anchor");
    }

    function test_LicenceStates() public {
        PlanTerms memory plan = meteredTerms();
        uint256 metered = sellingPlan(plan);
        uint256[] memory ids = new uint256[](100);
        for (uint256 i = 0; i < ids.length; ++i) {
            ids[i] = (i % 2 == 0 ? planId : metered) << 32 | 1;
        }
        market.licenceStates(ids);
        vm.snapshotGasLastCall("licenceStates, 100 of two plans");
    }

    // ------------------------------------------------------------------ helpers

    function ancestry(uint256 count, uint16 bps) internal returns (Share[] memory parents) {
        parents = new Share[](count);
        for (uint256 i = 0; i < count; ++i) {
            parents[i] = Share(publish(outsider), bps);
        }
    }

    /// Collects the plan's first licence and splits.
    function shareOut(uint256 id) internal {
        market.collect(one(id << 32 | 1));
        market.split(id);
    }

    function usdDigest(bytes32 structHash) internal view returns (bytes32) {
        return keccak256(abi.encodePacked(hex"1901", usd.DOMAIN_SEPARATOR(), structHash));
    }
}
