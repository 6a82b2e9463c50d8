// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PlanState, PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {Share} from "../../src/interfaces/IModelRegistry.sol";
import {MarketTest} from "../helpers/MarketTest.sol";

/// @notice The shares of a plan's income, over random terms, lineages and ways to come in: exact in sum, within their
/// caps, as the specification computes them, and the same however often anyone collects and splits.
contract MarketIncomeSharesTest is MarketTest {
    struct Case {
        uint16 feeBps;
        uint16 serviceBps;
        uint96 price;
        uint8 ancestors;
        uint16[8] bps;
        uint256[10] steps;
    }

    Share[] internal lineage;
    uint256 internal planId;

    /// A plan of the kind that the case asks for; its ancestors belong to as many models as the case wants.
    function arrange(Case memory it) internal {
        it.feeBps = uint16(bound(it.feeBps, 0, 500));
        it.serviceBps = uint16(bound(it.serviceBps, 0, 5_000));
        vm.prank(admin);
        market.setFeeBps(it.feeBps);
        uint256 count = bound(it.ancestors, 0, 8);
        for (uint256 i = 0; i < count; ++i) {
            lineage.push(Share(publish(friend), uint16(bound(it.bps[i], 1, 5_000 / count))));
        }
        PlanTerms memory plan = terms();
        plan.modelId = publishFrom(publisher, lineage, 0);
        (plan.price, plan.feeBps, plan.serviceBps) = (it.price, it.feeBps, it.serviceBps);
        planId = addPlan(plan);
    }

    /// Buys and collects at random times, which makes income of random amounts; splits when `often` says so.
    function earn(Case memory it, bool often) internal {
        for (uint256 i = 0; i < it.steps.length; ++i) {
            uint256 step = it.steps[i];
            if (i == 0 || step % 3 == 0) buy(planId);
            skip(bound(step >> 16, 1, 6 days));
            collectAll();
            if (often && step % 4 != 0) market.split(planId);
        }
        market.split(planId);
    }

    function collectAll() internal {
        (, PlanState memory sales) = market.plan(planId);
        uint256[] memory ids = new uint256[](sales.sold);
        for (uint256 i = 0; i < ids.length; ++i) {
            ids[i] = planId << 32 | (i + 1);
        }
        market.collect(ids);
    }

    /// All credits: fee, service, each ancestor, the publisher.
    function credits() internal view returns (uint256[] memory parts) {
        parts = new uint256[](lineage.length + 3);
        parts[0] = market.accountCredit(treasury, address(usd));
        parts[1] = market.accountCredit(payee, address(usd));
        for (uint256 i = 0; i < lineage.length; ++i) {
            parts[i + 2] = market.credit(lineage[i].modelId, address(usd));
        }
        parts[lineage.length + 2] = market.credit(planId >> 32, address(usd));
    }

    function earned() internal view returns (uint256) {
        (, PlanState memory sales) = market.plan(planId);
        return sales.earned;
    }

    /// The specification's rule, written out: each part is cut from what the parts before it left.
    function expected(Case memory it, uint256 income) internal view returns (uint256[] memory parts) {
        parts = new uint256[](lineage.length + 3);
        parts[0] = income * it.feeBps / 10_000;
        uint256 afterFee = income - parts[0];
        parts[1] = afterFee * it.serviceBps / (10_000 - it.feeBps);
        uint256 left = afterFee - parts[1];
        uint256 sum;
        for (uint256 i = 0; i < lineage.length; ++i) {
            parts[i + 2] = left * lineage[i].bps / (10_000 - sum);
            left -= parts[i + 2];
            sum += lineage[i].bps;
        }
        parts[lineage.length + 2] = left;
    }

    function sumOf(uint256[] memory parts) internal pure returns (uint256 sum) {
        for (uint256 i = 0; i < parts.length; ++i) {
            sum += parts[i];
        }
    }

    function testFuzz_Split_GivesWhatTheSpecificationComputes(Case memory it) public {
        arrange(it);
        earn(it, true);
        vm.assertEq(abi.encode(credits()), abi.encode(expected(it, earned())), "parts");
        vm.assertEq(sumOf(credits()), earned(), "nothing is lost and nothing made");
    }

    function testFuzz_Split_DoesNotDependOnHowOftenItIsCalled(Case memory it) public {
        arrange(it);
        uint256 before = vm.snapshotState();
        earn(it, true);
        bytes memory often = abi.encode(credits());
        vm.assertTrue(vm.revertToState(before), "back");
        earn(it, false);
        vm.assertEq(often, abi.encode(credits()), "the same by one split");
    }

    function testFuzz_Split_NeverTakesACreditBack(Case memory it) public {
        arrange(it);
        uint256[] memory before = credits();
        for (uint256 i = 0; i < it.steps.length; ++i) {
            if (it.steps[i] % 2 == 0) buy(planId);
            skip(bound(it.steps[i] >> 16, 1, 1 days));
            collectAll();
            market.split(planId);
            uint256[] memory now_ = credits();
            for (uint256 k = 0; k < now_.length; ++k) {
                vm.assertGe(now_[k], before[k], "a credit");
            }
            before = now_;
        }
    }

    /// Whatever the rounding, no share is above its cap, and none is further than a few units from its due.
    function testFuzz_Split_KeepsEveryShareToItsCapAndItsDue(Case memory it) public {
        arrange(it);
        earn(it, true);
        uint256[] memory parts = credits();
        uint256 income = earned();
        vm.assertLe(parts[0] * 10_000, income * it.feeBps, "fee");
        vm.assertLe((parts[0] + parts[1]) * 10_000, income * (uint256(it.feeBps) + it.serviceBps), "fee and service");
        uint256 shared = income - parts[0] - parts[1];
        uint256 ancestors;
        for (uint256 i = 0; i < lineage.length; ++i) {
            ancestors += parts[i + 2];
            uint256 due = shared * lineage[i].bps / 10_000;
            vm.assertLe(parts[i + 2], due + 1, "not above its due");
            vm.assertGe(parts[i + 2] + 1, due, "not below its due");
        }
        vm.assertLe(ancestors * 2, shared, "ancestors get at most half");
        vm.assertGe(parts[0] + 1, income * it.feeBps / 10_000, "fee is not forgotten");
        vm.assertGe(parts[1] + 1, income * it.serviceBps / 10_000, "nor is the operator");
    }

    /// Many shares that all grow by one unit at the same moment: rounding each down from the whole, with the rest for
    /// the publisher, would take units back from it, and split would revert.
    function test_Split_OfSingleUnitsAmongEightEqualAncestorsNeverReverts() public {
        Case memory it;
        (it.ancestors, it.price) = (8, 1);
        for (uint256 i = 0; i < 8; ++i) {
            it.bps[i] = 624; // 625 after `bound`
        }
        arrange(it);
        PlanTerms memory plan = terms();
        (plan.modelId, plan.price, plan.feeBps) = (planId >> 32, 1, 0);
        (plan.serviceBps, plan.entryBps, plan.vesting) = (5_000, 0, 0);
        planId = addPlan(plan);
        it.serviceBps = 5_000;
        for (uint256 unit = 1; unit <= 64; ++unit) {
            buy(planId);
            market.split(planId);
            vm.assertEq(abi.encode(credits()), abi.encode(expected(it, unit)), "parts");
        }
    }

    function test_Split_HoldsTheLargestIncome() public {
        Case memory it;
        (it.feeBps, it.serviceBps, it.price, it.ancestors) = (500, 5_000, type(uint96).max, 8);
        for (uint256 i = 0; i < 8; ++i) {
            it.bps[i] = 624;
        }
        arrange(it);
        usd.mint(buyer, uint256(type(uint96).max) * 10);
        for (uint256 i = 0; i < 10; ++i) {
            buy(planId);
        }
        skip(30 days);
        collectAll();
        market.split(planId);
        vm.assertEq(earned(), uint256(type(uint96).max) * 10, "income");
        vm.assertEq(abi.encode(credits()), abi.encode(expected(it, earned())), "parts");
    }
}
