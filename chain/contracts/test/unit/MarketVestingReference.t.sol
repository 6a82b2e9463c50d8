// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {PlanState, PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {MarketReferenceFixture} from "../helpers/MarketReferenceFixture.sol";

/// @notice Random histories of one licence, compared with the reference after every step, and its refund at the end.
contract MarketVestingReferenceTest is MarketReferenceFixture {
    PlanTerms internal plan;
    Book internal book;
    uint256 internal licenceId;

    /// `seed` chooses among timed, perpetual, metered, at once, both coins, and any price.
    function open(uint256 seed) internal {
        PlanTerms memory chosen = seed % 2 == 0 ? nativeTerms() : terms();
        chosen.period = seed / 2 % 3 == 0 ? 0 : uint32(1 + seed / 6 % 100 days);
        chosen.calls = seed / 1e10 % 3 == 0 && chosen.period != 0 ? 0 : uint32(1 + seed / 1e12 % 5_000);
        chosen.vesting = chosen.period != 0 ? chosen.period : uint32(1 hours + seed / 1e20 % (90 days - 1 hours + 1));
        if (seed / 1e30 % 8 == 0) chosen.vesting = 0;
        chosen.price = uint96(seed / 1e32 % 1e26);
        chosen.entryBps = uint16(seed / 1e60 % 2_001);
        chosen.flags |= DOWNLOAD;
        plan = chosen;
        licenceId = buy(addPlan(chosen));
        book = bookBuy(chosen);
    }

    /// One action; most of the time, time passes as well.
    function step(uint256 seed) internal {
        skip(seed / 8 % 4 == 0 ? 0 : seed / 32 % (20 days));
        uint256 action = seed % 8;
        if (action < 2) {
            uint256 used = book.used + 1 + seed / 1e20 % 700;
            report(licenceId, uint32(used));
            if (plan.calls != 0 && used <= book.calls) book.used = used;
        } else if (action < 4) {
            market.collect(one(licenceId));
            Book memory b = book;
            bookCollect(plan, b);
            book = b;
        } else if (action == 4) {
            renew(licenceId);
            Book memory b = book;
            bookRenew(plan, b);
            book = b;
        } else if (action == 5) {
            uint256 pause = seed / 1e30 % 13 days;
            suspend(modelId);
            skip(pause);
            behind += pause;
            expectBook(plan, book, licenceId);
            resume(modelId);
        } else if (action == 6) {
            suspend(modelId); // lapses
            skip(14 days + seed / 1e40 % 5 days);
            behind += 14 days;
        } else if (market.isValid(licenceId)) {
            deliver(bytes32(seed));
            Book memory b = book;
            bookDeliver(b);
            book = b;
        }
    }

    function deliver(bytes32 recipientKey) internal {
        uint256 deadline = blockTime();
        bytes memory signature = sign("holder", deliverDigest(licenceId, recipientKey, deadline));
        vm.prank(operatorKey);
        market.deliver(licenceId, recipientKey, deadline, signature, "wrapped");
    }

    function testFuzz_Vesting_EqualsTheReferenceThroughAnyHistory(uint256 seed, uint256[12] memory steps) public {
        open(seed);
        expectBook(plan, book, licenceId);
        for (uint256 i = 0; i < steps.length; ++i) {
            step(steps[i]);
            expectBook(plan, book, licenceId);
        }
        depart(steps[0]);
    }

    /// The refund is what the reference says, and every unit that was paid is refund or income.
    function depart(uint256 seed) internal {
        uint256 refund = book.amount - vestedOf(plan, book);
        vm.prank(holder);
        market.cancel(licenceId, friend);
        if (plan.calls != 0) {
            Book memory b = book;
            bookCollect(plan, b);
            b.left = true;
            book = b;
            expectBook(plan, book, licenceId);
            skip(seed % 6 hours);
            uint256 used = book.used + seed % 3_000;
            report(licenceId, uint32(used));
            if (used <= book.calls) book.used = used;
            expectBook(plan, book, licenceId);
            refund = book.amount - vestedOf(plan, book);
            skip(6 hours);
            vm.prank(holder);
            market.settle(licenceId, friend);
        }
        vm.assertEq(balanceOf(plan.token, friend), refund, "refund");
        vm.assertEq(balanceOf(plan.token, address(market)), book.paid - refund, "the market keeps the rest");
        (, PlanState memory progress) = market.plan(licenceId >> 32);
        vm.assertEq(progress.earned, book.paid - refund, "and all of it is income");
    }
}
