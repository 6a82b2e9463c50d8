// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILicenceMarket, LicenceState, PlanState, PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {Share} from "../../src/interfaces/IModelRegistry.sol";
import {HostileToken} from "../helpers/HostileToken.sol";
import {MarketTest} from "../helpers/MarketTest.sol";
import {Account} from "../helpers/Receivers.sol";

/// @notice A contract wallet whose signature check never ends, or answers with more than anybody wants.
contract TarpitWallet is Account {
    bool public floods;

    function setFloods(bool floods_) external {
        floods = floods_;
    }

    function isValidSignature(bytes32, bytes calldata) external view returns (bytes4) {
        if (floods) {
            assembly {
                mstore(0, shl(224, 0x1626ba7e))
                return(0, 1000000)
            }
        }
        while (true) {}
        return 0x1626ba7e;
    }

    receive() external payable {}
}

/// @notice What a buyer who never means to stay does: buys and leaves, many times, in one block.
contract Looper is Account {
    function loop(ILicenceMarket market, uint256 planId, uint256 times) external payable {
        bytes32 agreed = market.planHash(planId);
        (PlanTerms memory terms,) = market.plan(planId);
        for (uint256 i = 0; i < times; ++i) {
            market.cancel(market.buy{value: terms.price}(planId, agreed, address(this)), address(this));
        }
    }

    receive() external payable {}
}

/// @notice Attacks that fail, each by somebody with a part to play.
contract MarketAttacksTest is MarketTest {
    function refundOf(uint256 licenceId) internal view returns (uint256) {
        LicenceState memory licence = state(licenceId);
        return licence.amount - licence.vested;
    }

    // ------------------------------------------------------------------ a renewal that nobody asked for

    /// Where time alone vests, a renewal by a stranger (say the publisher, who earns the price back) can at no later
    /// moment leave the holder with less than without it: neither now nor by stretching what is left.
    function testFuzz_Renew_ByAStrangerNeverLowersARefundThatTimeAloneVests(
        uint32[4] memory waits,
        uint8 renewals,
        uint96 price,
        uint16 entryBps
    ) public {
        PlanTerms memory plan = terms();
        (plan.price, plan.entryBps) = (uint96(bound(price, 0, 1e20)), uint16(bound(entryBps, 0, 2_000)));
        uint256 licenceId = buy(addPlan(plan));
        for (uint256 i = 0; i < renewals % 13; ++i) {
            renew(licenceId);
        }
        skip(waits[0] % 400 days);
        if (waits[1] % 2 == 0) market.collect(one(licenceId));
        uint256 moment = vm.snapshotState();
        uint256[3] memory later = [uint256(0), waits[2] % 60 days, waits[3] % 800 days];
        uint256[3] memory alone;
        for (uint256 i = 0; i < 3; ++i) {
            skip(later[i]);
            alone[i] = refundOf(licenceId);
        }
        vm.revertToState(moment);
        renew(licenceId);
        for (uint256 i = 0; i < 3; ++i) {
            skip(later[i]);
            vm.assertGe(refundOf(licenceId), alone[i], vm.toString(i));
        }
    }

    /// On any plan, what somebody else pays for a renewal is the holder's in that moment, less its entry share.
    function testFuzz_Renew_ByAStrangerIsTheHoldersAtOnce(uint32 wait, uint32 used, uint32 late) public {
        uint256 licenceId = buy(addPlan(wait % 2 == 0 ? meteredTerms() : perpetualTerms()));
        skip(wait % 60 days);
        report(licenceId, used % 1_000);
        uint256 before = refundOf(licenceId);
        renew(licenceId);
        vm.assertEq(refundOf(licenceId), before + PRICE - ENTRY, "the price is the holder's");

        skip(late % 200 days);
        uint256 rest = refundOf(licenceId);
        cancel(licenceId);
        skip(6 hours);
        vm.prank(outsider);
        vm.assertEq(market.settle(licenceId, holder), rest, "and is paid out as shown");
    }

    // ------------------------------------------------------------------ buying without staying

    /// The entry share is the price of a licence for one block; with none it costs only gas. Nobody else pays for it:
    /// places come back, and the market keeps exactly the entry shares.
    function testFuzz_Buy_AndCancelInOneBlockCostsTheEntryShareEachTime(uint8 times, uint16 entryBps, uint96 price)
        public
    {
        PlanTerms memory plan = nativeTerms();
        plan.supply = 1; // each loop takes the only place and gives it back
        (plan.price, plan.entryBps) = (uint96(bound(price, 0, 1e24)), uint16(bound(entryBps, 0, 2_000)));
        uint256 planId = addPlan(plan);
        uint256 loops = times % 20;
        Looper looper = new Looper();
        vm.deal(address(looper), 30 * uint256(plan.price));
        looper.loop(market, planId, loops);

        uint256 entries = loops * (uint256(plan.price) * plan.entryBps / 10_000);
        vm.assertEq(address(looper).balance, 30 * uint256(plan.price) - entries, "paid");
        vm.assertEq(address(market).balance, entries, "kept");
        (, PlanState memory progress) = market.plan(planId);
        vm.assertEq(progress.live, 0, "live");
        vm.assertEq(progress.sold, loops, "serials are used up");
        vm.assertEq(progress.earned, entries, "income");
        vm.assertTrue(market.isValid(buy(planId)), "others buy as before");
    }

    /// A payer's hook runs when the licence exists and is not paid yet. What it does with the licence falls with it.
    function test_Buy_TakesTheLicenceBackFromWhomItWasPassedToWhenItIsNotPaid() public {
        HostileToken token = new HostileToken();
        vm.prank(admin);
        market.setTokenAllowed(address(token), true);
        PlanTerms memory plan = terms();
        plan.token = address(token);
        uint256 planId = addPlan(plan);
        bytes32 agreed = market.planHash(planId);
        uint256 next = planId << 32 | 1;
        token.mint(buyer, PRICE);
        token.setCallback(
            address(market),
            abi.encodeWithSignature("transferFrom(address,address,uint256)", address(token), friend, next)
        );
        token.setMode(HostileToken.Mode.PAYS_NOTHING);
        expectError(abi.encodeWithSelector(ILicenceMarket.PaymentDiffers.selector, address(token), PRICE, 0));
        vm.prank(buyer);
        market.buy(planId, agreed, address(token));

        vm.assertFalse(state(next).exists, "no licence");
        (, PlanState memory progress) = market.plan(planId);
        vm.assertEq(uint256(progress.sold) + progress.live + progress.earned, 0, "no trace");
    }

    // ------------------------------------------------------------------ wallets

    /// A wallet whose signature check burns all gas or floods the caller harms who asked it, and keeps its own rights.
    function test_CancelBySig_SurvivesAWalletThatNeverAnswers() public {
        TarpitWallet wallet = new TarpitWallet();
        uint256 licenceId = buyFor(addPlan(nativeTerms()), address(wallet));
        for (uint256 i = 0; i < 2; ++i) {
            wallet.setFloods(i == 1);
            vm.prank(outsider);
            (bool done,) = address(market).call{gas: 1_000_000}(
                abi.encodeCall(market.cancelBySig, (licenceId, outsider, START, ""))
            );
            vm.assertFalse(done, vm.toString(i));
            vm.assertTrue(market.isValid(licenceId), "stands");
        }
        wallet.execute(address(market), abi.encodeCall(market.cancel, (licenceId, address(wallet))));
        vm.assertEq(address(wallet).balance, 0.3 ether * 95 / 100, "left by a call of its own");
    }

    /// An account that takes on code (EIP-7702) signs through that code from then on. It may always leave by itself.
    function test_CancelBySig_AsksTheCodeThatAnAccountTookOn() public {
        uint256 licenceId = buy(addPlan(terms()));
        bytes memory signature = sign("holder", cancelDigest(licenceId, holder, START));
        uint256 bare = vm.snapshotState();
        market.cancelBySig(licenceId, holder, START, signature);
        vm.revertToState(bare);

        etch(holder, hex"00"); // code that answers nothing
        expectError(abi.encodeWithSelector(ILicenceMarket.SignatureInvalid.selector, holder));
        market.cancelBySig(licenceId, holder, START, signature);
        cancel(licenceId);
        vm.assertEq(usd.balanceOf(holder), PRICE - ENTRY, "refund");
    }

    function etch(address account, bytes memory code) internal {
        (bool done,) = address(vm).call(abi.encodeWithSignature("etch(address,bytes)", account, code));
        vm.assertTrue(done, "etched");
    }

    // ------------------------------------------------------------------ lineage

    /// However its ancestors are chosen and whatever they turn into, a model's income can be split: they are eight at
    /// most, none is called, and none is asked.
    function test_Split_CannotBePricedOutByHostileAncestors() public {
        uint256[8] memory ancestors;
        PlanTerms memory plan = terms();
        plan.modelId = publishWithAncestors(ancestors, type(uint256).max);
        uint256 planId = addPlan(plan);
        buy(planId);
        TarpitWallet wallet = new TarpitWallet();
        for (uint256 i = 0; i < 8; ++i) {
            vm.startPrank(publisher);
            registry.setDerivativeBps(ancestors[i], 5_000);
            registry.transferFrom(publisher, address(wallet), ancestors[i]);
            vm.stopPrank();
            suspend(ancestors[i]);
        }
        uint256 gas = gasleft();
        market.split(planId);
        vm.assertLe(gas - gasleft(), 400_000, "gas");
        for (uint256 i = 0; i < 8; ++i) {
            vm.assertNotEq(market.credit(ancestors[i], address(usd)), 0, vm.toString(i));
        }
    }

    // ------------------------------------------------------------------ everybody for themselves, to the last unit

    /// Prices of a few units, eight ancestors, calls, renewals and people who collect and split at every step: when all
    /// have left and withdrawn, the market is empty. Rounding made and lost nothing.
    function testFuzz_Market_IsEmptyWhenAllHaveLeftAndWithdrawn(uint256 seed) public {
        uint256[8] memory ancestors;
        uint256 child = publishWithAncestors(ancestors, seed);
        PlanTerms memory plan = seed % 2 == 0 ? meteredTerms() : perpetualTerms();
        (plan.modelId, plan.price, plan.entryBps) = (child, uint96(1 + seed % 97), uint16(seed % 2_001));
        plan.serviceBps = uint16(seed >> 32) % 5_001;
        uint256 planId = addPlan(plan);
        uint256[3] memory ids = [buy(planId), buyFor(planId, friend), buyFor(planId, outsider)];
        for (uint256 i = 0; i < 24; ++i) {
            seed = uint256(keccak256(abi.encode(seed)));
            trade(ids[seed % 3], seed >> 8);
        }
        leaveAll(ids);
        market.split(planId);
        withdrawAll(child, ancestors);
        vm.assertEq(usd.balanceOf(address(market)), 0, "empty");
    }

    function trade(uint256 licenceId, uint256 dice) internal {
        skip((dice >> 8) % 9 days);
        if (dice & 1 != 0) report(licenceId, state(licenceId).used + uint32(dice >> 64) % 200);
        if (dice & 2 != 0) market.collect(one(licenceId));
        if (dice & 4 != 0) market.split(licenceId >> 32);
        if (dice & 24 == 0) renew(licenceId);
    }

    function leaveAll(uint256[3] memory ids) internal {
        for (uint256 i = 0; i < 3; ++i) {
            cancel(ids[i]);
            skip(3 hours);
        }
        skip(6 hours);
        for (uint256 i = 0; i < 3; ++i) {
            market.settle(ids[i], market.ownerOf(ids[i]));
        }
    }

    function publishWithAncestors(uint256[8] memory ancestors, uint256 seed) internal returns (uint256) {
        Share[] memory parents = new Share[](8);
        for (uint256 i = 0; i < 8; ++i) {
            ancestors[i] = publish(publisher);
            parents[i] = Share(ancestors[i], uint16(1 + (seed >> (16 * i)) % 625));
        }
        return publishFrom(publisher, parents, 0);
    }

    function withdrawAll(uint256 child, uint256[8] memory ancestors) internal {
        vm.startPrank(publisher);
        if (market.credit(child, address(usd)) != 0) market.withdraw(child, address(usd), publisher);
        for (uint256 i = 0; i < 8; ++i) {
            if (market.credit(ancestors[i], address(usd)) != 0) market.withdraw(ancestors[i], address(usd), publisher);
        }
        vm.stopPrank();
        address[2] memory accounts = [treasury, payee];
        for (uint256 i = 0; i < 2; ++i) {
            if (market.accountCredit(accounts[i], address(usd)) == 0) continue;
            vm.prank(accounts[i]);
            market.withdrawAccount(address(usd), accounts[i]);
        }
    }
}
