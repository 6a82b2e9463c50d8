// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {LicenceState, PlanState, PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {MarketTest} from "./MarketTest.sol";

/// @notice What the specification says of one licence's money, written once more and apart from the contracts: wide
/// numbers, one fraction, no packing.
abstract contract MarketReferenceFixture is MarketTest {
    struct Book {
        uint256 amount;
        uint256 taken;
        uint256 income; // of the plan, from this licence
        uint256 start;
        uint256 expiry;
        uint256 used;
        uint256 base;
        uint256 calls;
        uint256 paid;
        bool left;
    }

    /// The model's clock is behind the block time by this.
    uint256 internal behind;

    function clock() internal view returns (uint256) {
        return blockTime() - behind;
    }

    function bookBuy(PlanTerms memory plan) internal view returns (Book memory book) {
        bookPrice(plan, book);
        book.start = clock();
        book.expiry = plan.period == 0 ? 0 : clock() + plan.period;
        book.calls = plan.calls;
    }

    function bookPrice(PlanTerms memory plan, Book memory book) private pure {
        uint256 entry = plan.vesting == 0 ? plan.price : uint256(plan.price) * plan.entryBps / 10_000;
        book.paid += plan.price;
        book.income += entry;
        book.amount += plan.price - entry;
    }

    /// The fraction of the amount that has vested.
    function fraction(PlanTerms memory plan, Book memory book) internal view returns (uint256 part, uint256 whole) {
        if (plan.vesting == 0) return (1, 1);
        if (book.left) {
            (part, whole) = (0, 1);
        } else {
            whole = plan.period == 0 ? plan.vesting : book.expiry - book.start;
            part = clock() - book.start;
            if (part > whole) part = whole;
        }
        if (plan.calls == 0) return (part, whole);
        (uint256 used, uint256 calls) = (book.used - book.base, book.calls - book.base);
        if (used * whole > part * calls) return (used, calls);
    }

    function vestedOf(PlanTerms memory plan, Book memory book) internal view returns (uint256) {
        (uint256 part, uint256 whole) = fraction(plan, book);
        uint256 vested = book.amount * part / whole;
        return vested > book.taken ? vested : book.taken;
    }

    function bookCollect(PlanTerms memory plan, Book memory book) internal view {
        uint256 vested = vestedOf(plan, book);
        book.income += vested - book.taken;
        book.taken = vested;
    }

    function bookDeliver(Book memory book) internal pure {
        book.income += book.amount - book.taken;
        book.taken = book.amount;
    }

    function bookRenew(PlanTerms memory plan, Book memory book) internal view {
        bookCollect(plan, book);
        book.amount -= book.taken;
        book.taken = 0;
        bookPrice(plan, book);
        book.start = clock();
        book.base = book.used;
        book.calls += plan.calls;
        if (plan.period != 0) book.expiry = (clock() > book.expiry ? clock() : book.expiry) + plan.period;
    }

    /// Compares all that the market says of the licence and its plan's income.
    function expectBook(PlanTerms memory plan, Book memory book, uint256 licenceId) internal view {
        LicenceState memory now_ = state(licenceId);
        (, PlanState memory progress) = market.plan(licenceId >> 32);
        vm.assertEq(now_.amount, book.amount, "amount");
        vm.assertEq(now_.taken, book.taken, "taken");
        vm.assertEq(now_.vested, vestedOf(plan, book), "vested");
        vm.assertEq(now_.used, book.used, "used");
        vm.assertEq(now_.calls, book.calls, "calls");
        vm.assertEq(now_.expiry, book.expiry == 0 ? 0 : book.expiry + behind, "expiry");
        if (plan.vesting != 0) vm.assertEq(now_.base, book.base, "base");
        if (plan.vesting != 0 && !book.left) vm.assertEq(now_.start, book.start + behind, "start");
        vm.assertEq(progress.earned, book.income, "income");
        vm.assertEq(balanceOf(plan.token, address(market)), book.paid, "balance");
    }
}
