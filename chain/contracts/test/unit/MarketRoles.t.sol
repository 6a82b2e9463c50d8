// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {LicenceMarket} from "../../src/LicenceMarket.sol";
import {ILicenceMarket, LicenceState, PlanState, PlanTerms, Roles} from "../../src/interfaces/ILicenceMarket.sol";
import {Ownable} from "@openzeppelin/contracts/access/Ownable.sol";
import {MarketTest} from "../helpers/MarketTest.sol";
import {Vm} from "../helpers/TestBase.sol";

/// @notice Who may set what, and what pausing stops: sales, and nothing else.
contract MarketRolesTest is MarketTest {
    /// Everybody but the admin.
    function others() internal view returns (address[8] memory) {
        return [guardian, pauser, treasury, publisher, operatorOwner, operatorKey, holder, outsider];
    }

    function expectRefusedToOthers(bytes memory call) internal {
        address[8] memory callers = others();
        for (uint256 i = 0; i < callers.length; ++i) {
            vm.prank(callers[i]);
            (bool done, bytes memory answer) = address(market).call(call);
            vm.assertFalse(done, "done");
            bytes memory refusal = abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, callers[i]);
            vm.assertEq(answer, refusal, "refused for the caller");
        }
    }

    function pause() internal {
        vm.prank(pauser);
        market.setPaused(true);
    }

    // ------------------------------------------------------------------ constructor

    function test_Constructor_SetsTheRolesAndNothingElse() public {
        vm.recordLogs();
        LicenceMarket made = new LicenceMarket(registry, Roles(admin, guardian, pauser, treasury));
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertEq(logs.length, 4, "events");
        vm.assertEq(logs[0].topics[0], Ownable.OwnershipTransferred.selector, "the admin's");
        vm.assertEq(logs[1].topics[0], ILicenceMarket.GuardianSet.selector, "the guardian's");
        vm.assertEq(logs[2].topics[0], ILicenceMarket.PauserSet.selector, "the pauser's");
        vm.assertEq(logs[3].topics[0], ILicenceMarket.TreasurySet.selector, "the treasury's");
        vm.assertEq(made.owner(), admin, "admin");
        vm.assertEq(made.guardian(), guardian, "guardian");
        vm.assertEq(made.pauser(), pauser, "pauser");
        vm.assertEq(made.treasury(), treasury, "treasury");
        vm.assertEq(address(made.registry()), address(registry), "registry");
        vm.assertEq(made.feeBps(), 0, "fee");
        vm.assertEq(made.operatorCount(), 0, "operators");
        vm.assertFalse(made.paused(), "paused");
        vm.assertFalse(made.tokenAllowed(address(usd)), "tokens");
    }

    function test_Constructor_RevertsWhenTheAdminIsZero() public {
        expectError(abi.encodeWithSelector(Ownable.OwnableInvalidOwner.selector, address(0)));
        new LicenceMarket(registry, Roles(address(0), guardian, pauser, treasury));
    }

    function test_Constructor_RevertsWhenTheTreasuryIsZero() public {
        expectError(abi.encodeWithSelector(ILicenceMarket.RecipientInvalid.selector, address(0)));
        new LicenceMarket(registry, Roles(admin, guardian, pauser, address(0)));
    }

    function test_Constructor_TakesNobodyForGuardianAndPauser() public {
        LicenceMarket made = new LicenceMarket(registry, Roles(admin, address(0), address(0), treasury));
        expectError(abi.encodeWithSelector(ILicenceMarket.NotAllowed.selector, guardian));
        vm.prank(guardian);
        made.suspend(modelId, 0);
        vm.prank(admin); // may pause in any case
        made.setPaused(true);
    }

    // ------------------------------------------------------------------ tokens

    function test_SetTokenAllowed_AllowsAndStops() public {
        vm.assertTrue(market.tokenAllowed(address(usd)), "allowed in setUp");
        vm.expectEmit(address(market));
        emit ILicenceMarket.TokenAllowed(address(usd), false);
        vm.prank(admin);
        market.setTokenAllowed(address(usd), false);
        vm.assertFalse(market.tokenAllowed(address(usd)), "stopped");
        vm.prank(admin);
        market.setTokenAllowed(address(usd), true);
        vm.assertTrue(market.tokenAllowed(address(usd)), "allowed again");
    }

    function test_SetTokenAllowed_RevertsWhenTheCallerIsNotTheAdmin() public {
        expectRefusedToOthers(abi.encodeCall(market.setTokenAllowed, (address(usd), false)));
        vm.assertTrue(market.tokenAllowed(address(usd)), "still allowed");
    }

    function test_SetTokenAllowed_RevertsWhenTheTokenHasNoCode() public {
        vm.startPrank(admin);
        expectError(abi.encodeWithSelector(ILicenceMarket.TokenWithoutCode.selector, outsider));
        market.setTokenAllowed(outsider, true);
        market.setTokenAllowed(outsider, false); // to stop is always possible
    }

    function test_SetTokenAllowed_CannotStopTheNativeCoin() public {
        vm.prank(admin);
        market.setTokenAllowed(address(0), false);
        vm.assertTrue(market.tokenAllowed(address(0)), "native");
        buy(addPlan(nativeTerms()));
    }

    function test_SetTokenAllowed_StopsSalesAndRenewalsAlone() public {
        uint256 planId = addPlan(terms());
        uint256 licenceId = buy(planId);
        vm.prank(admin);
        market.setTokenAllowed(address(usd), false);
        bytes32 agreed = market.planHash(planId);
        vm.startPrank(buyer);
        expectError(abi.encodeWithSelector(ILicenceMarket.TokenNotAllowed.selector, address(usd)));
        market.buy(planId, agreed, holder);
        expectError(abi.encodeWithSelector(ILicenceMarket.TokenNotAllowed.selector, address(usd)));
        market.renew(licenceId, agreed);
        vm.stopPrank();

        skip(10 days);
        leavesAndPaysOut(planId, licenceId);
    }

    // ------------------------------------------------------------------ fee, treasury, guardian, pauser

    function test_SetFeeBps_ConcernsPlansToCome() public {
        uint256 before = addPlan(terms());
        vm.expectEmit(address(market));
        emit ILicenceMarket.FeeSet(500);
        vm.prank(admin);
        market.setFeeBps(500);
        vm.assertEq(market.feeBps(), 500, "fee");
        buy(before);
        market.split(before);
        vm.assertEq(market.accountCredit(treasury, address(usd)), 37_500, "2.5 % of the entry share");
    }

    function test_SetFeeBps_RevertsWhenItIsTooLarge() public {
        vm.assertEq(market.MAX_FEE_BPS(), 500, "as documented");
        uint16[3] memory large = [uint16(501), 10_000, type(uint16).max];
        for (uint256 i = 0; i < large.length; ++i) {
            expectError(abi.encodeWithSelector(ILicenceMarket.BpsTooLarge.selector, large[i], 500));
            vm.prank(admin);
            market.setFeeBps(large[i]);
        }
    }

    function test_SetFeeBps_RevertsWhenTheCallerIsNotTheAdmin() public {
        expectRefusedToOthers(abi.encodeCall(market.setFeeBps, (0)));
    }

    function test_SetTreasury_CreditsFeesThatAreSplitLater() public {
        uint256 planId = addPlan(terms());
        buy(planId);
        market.split(planId);
        buy(planId);
        vm.expectEmit(address(market));
        emit ILicenceMarket.TreasurySet(friend);
        vm.prank(admin);
        market.setTreasury(friend);
        market.split(planId);
        vm.assertEq(market.accountCredit(treasury, address(usd)), 37_500, "the old one keeps its credit");
        vm.assertEq(market.accountCredit(friend, address(usd)), 37_500, "the new one");
        vm.prank(treasury);
        vm.assertEq(market.withdrawAccount(address(usd), treasury), 37_500, "withdrawn");
    }

    function test_SetTreasury_RevertsWhenMoneyWouldBeLost() public {
        address[2] memory invalid = [address(0), address(market)];
        for (uint256 i = 0; i < invalid.length; ++i) {
            expectError(abi.encodeWithSelector(ILicenceMarket.RecipientInvalid.selector, invalid[i]));
            vm.prank(admin);
            market.setTreasury(invalid[i]);
        }
        vm.assertEq(market.treasury(), treasury, "unchanged");
    }

    function test_SetTreasury_RevertsWhenTheCallerIsNotTheAdmin() public {
        expectRefusedToOthers(abi.encodeCall(market.setTreasury, (outsider)));
    }

    function test_SetGuardian_MovesTheRoleAtOnce() public {
        vm.expectEmit(address(market));
        emit ILicenceMarket.GuardianSet(friend);
        vm.prank(admin);
        market.setGuardian(friend);
        vm.assertEq(market.guardian(), friend, "guardian");
        expectError(abi.encodeWithSelector(ILicenceMarket.NotAllowed.selector, guardian));
        suspend(modelId);
        vm.prank(friend);
        market.suspend(modelId, 0);
        vm.prank(admin);
        market.setGuardian(address(0)); // nobody
        expectError(abi.encodeWithSelector(ILicenceMarket.NotAllowed.selector, friend));
        vm.prank(friend);
        market.resume(modelId);
    }

    function test_SetGuardian_RevertsWhenTheCallerIsNotTheAdmin() public {
        expectRefusedToOthers(abi.encodeCall(market.setGuardian, (outsider)));
    }

    function test_SetPauser_MovesTheRoleAtOnce() public {
        vm.expectEmit(address(market));
        emit ILicenceMarket.PauserSet(friend);
        vm.prank(admin);
        market.setPauser(friend);
        vm.assertEq(market.pauser(), friend, "pauser");
        expectError(abi.encodeWithSelector(ILicenceMarket.NotAllowed.selector, pauser));
        pause();
        vm.prank(friend);
        market.setPaused(true);
    }

    function test_SetPauser_RevertsWhenTheCallerIsNotTheAdmin() public {
        expectRefusedToOthers(abi.encodeCall(market.setPauser, (outsider)));
    }

    // ------------------------------------------------------------------ pausing

    function test_SetPaused_IsForThePauserAndTheAdmin() public {
        vm.expectEmit(address(market));
        emit ILicenceMarket.PausedSet(true);
        pause();
        vm.assertTrue(market.paused(), "by the pauser");
        vm.expectEmit(address(market));
        emit ILicenceMarket.PausedSet(false);
        vm.prank(admin);
        market.setPaused(false);
        vm.assertFalse(market.paused(), "by the admin");
    }

    function test_SetPaused_RevertsWhenTheCallerIsNeither() public {
        address[6] memory callers = [guardian, treasury, publisher, operatorOwner, holder, outsider];
        for (uint256 i = 0; i < callers.length; ++i) {
            expectError(abi.encodeWithSelector(ILicenceMarket.NotAllowed.selector, callers[i]));
            vm.prank(callers[i]);
            market.setPaused(true);
        }
        vm.assertFalse(market.paused(), "unchanged");
    }

    function test_Paused_StopsBuyingAndRenewing() public {
        uint256 planId = addPlan(terms());
        uint256 licenceId = buy(planId);
        pause();
        bytes32 agreed = market.planHash(planId);
        vm.startPrank(buyer);
        expectError(abi.encodeWithSelector(ILicenceMarket.SalesPaused.selector));
        market.buy(planId, agreed, holder);
        expectError(abi.encodeWithSelector(ILicenceMarket.SalesPaused.selector));
        market.buyWithPermit(planId, agreed, holder, blockTime(), 27, 0, 0);
        expectError(abi.encodeWithSelector(ILicenceMarket.SalesPaused.selector));
        market.renew(licenceId, agreed);
        vm.stopPrank();
        vm.prank(pauser);
        market.setPaused(false);
        buy(planId);
        renew(licenceId);
    }

    function test_Paused_StopsNothingElse() public {
        uint256 planId = addPlan(terms());
        uint256 licenceId = buy(planId);
        uint256 metered = buy(addPlan(meteredTerms()));
        uint256 download = buy(addPlan(downloadTerms()));
        pause();
        vm.assertTrue(market.isValid(licenceId), "licences go on");
        skip(10 days);
        report(metered, 1);
        bytes memory signature = sign("holder", deliverDigest(download, "key", blockTime()));
        vm.prank(publisher);
        market.deliver(download, "key", blockTime(), signature, "wrapped");
        vm.prank(holder);
        market.transferFrom(holder, friend, metered);
        addPlan(terms());
        suspend(modelId);
        resume(modelId);
        leavesAndPaysOut(planId, licenceId);
        cancel(metered);
        skip(market.REPORT_WINDOW());
        vm.prank(friend);
        market.settle(metered, friend);
    }

    /// Collects, splits, withdraws and leaves a licence of `terms` that is ten days old, to the wei.
    function leavesAndPaysOut(uint256 planId, uint256 licenceId) internal {
        market.collect(one(licenceId));
        market.split(planId);
        cancel(licenceId);
        vm.assertEq(usd.balanceOf(holder), 19_000_000, "refund");
        vm.prank(publisher);
        vm.assertEq(market.withdraw(modelId, address(usd), publisher), 9_625_000, "publisher");
        vm.prank(treasury);
        vm.assertEq(market.withdrawAccount(address(usd), treasury), 275_000, "treasury");
        vm.prank(payee);
        vm.assertEq(market.withdrawAccount(address(usd), payee), 1_100_000, "operator");
    }

    // ------------------------------------------------------------------ the admin

    function test_Admin_HandsOverInTwoSteps() public {
        vm.prank(admin);
        market.transferOwnership(friend);
        vm.assertEq(market.owner(), admin, "not yet");
        vm.assertEq(market.pendingOwner(), friend, "named");
        expectError(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, outsider));
        vm.prank(outsider);
        market.acceptOwnership();
        vm.prank(friend);
        market.acceptOwnership();
        vm.assertEq(market.owner(), friend, "now");
        expectError(abi.encodeWithSelector(Ownable.OwnableUnauthorizedAccount.selector, admin));
        vm.prank(admin);
        market.setFeeBps(0);
        expectError(abi.encodeWithSelector(ILicenceMarket.NotAllowed.selector, admin));
        vm.prank(admin);
        market.setPaused(true);
    }

    function test_Admin_TransferRevertsWhenTheCallerIsNotTheAdmin() public {
        expectRefusedToOthers(abi.encodeCall(market.transferOwnership, (outsider)));
        expectRefusedToOthers(abi.encodeCall(market.renounceOwnership, ()));
    }

    /// Without an admin nothing can be set any more, and nobody's money is stuck.
    function test_Admin_MayResignAndLeavesMoneyFree() public {
        uint256 planId = addPlan(terms());
        uint256 licenceId = buy(planId);
        suspend(modelId);
        confirm(modelId);
        pause();
        vm.prank(admin);
        market.renounceOwnership();
        vm.assertEq(market.owner(), address(0), "nobody");
        expectRefusedToOthers(abi.encodeCall(market.setFeeBps, (0)));
        expectError(abi.encodeWithSelector(ILicenceMarket.NotAllowed.selector, guardian));
        vm.prank(guardian); // it was confirmed
        market.resume(modelId);

        market.split(planId);
        skip(market.SETTLE_AFTER());
        market.settle(licenceId, holder);
        vm.assertEq(usd.balanceOf(holder), PRICE - ENTRY, "all that had not vested");
        vm.prank(publisher);
        market.withdraw(modelId, address(usd), publisher);
        vm.prank(treasury);
        market.withdrawAccount(address(usd), treasury);
        vm.prank(payee);
        market.withdrawAccount(address(usd), payee);
        vm.assertEq(usd.balanceOf(address(market)), 0, "left");
    }

    /// No role's call changes what a holder would get back, what is credited, or who owns what.
    function test_Roles_ChangeNobodysClaims() public {
        uint256 planId = addPlan(terms());
        uint256 licenceId = buy(planId);
        skip(10 days);
        market.collect(one(licenceId));
        market.split(planId);
        bytes32 before = claims(planId, licenceId);
        vm.startPrank(admin);
        market.setTokenAllowed(address(usd), false);
        market.setFeeBps(500);
        market.setTreasury(friend);
        market.setGuardian(friend);
        market.setPauser(friend);
        market.setPaused(true);
        vm.stopPrank();
        vm.startPrank(friend);
        market.disableOperator(operatorId);
        market.suspend(modelId, 0);
        vm.stopPrank();
        confirm(modelId);
        vm.assertEq(claims(planId, licenceId), before, "claims");
        resume(modelId);
        vm.assertEq(claims(planId, licenceId), before, "claims after resuming");
        vm.prank(admin);
        market.renounceOwnership();
        vm.assertEq(claims(planId, licenceId), before, "claims without an admin");
    }

    function claims(uint256 planId, uint256 licenceId) internal view returns (bytes32) {
        (PlanTerms memory plan, PlanState memory sales) = market.plan(planId);
        LicenceState memory held = state(licenceId);
        return keccak256(
            abi.encode(
                plan,
                sales,
                held.owner,
                held.amount,
                held.taken,
                held.vested,
                held.expiry,
                held.start,
                market.credit(modelId, address(usd)),
                market.accountCredit(payee, address(usd)),
                market.accountCredit(treasury, address(usd))
            )
        );
    }

    // ------------------------------------------------------------------ what the market says about itself

    function test_SupportsInterface_KnowsItsStandards() public view {
        bytes4[6] memory known = [
            bytes4(0x01ffc9a7), // ERC-165
            0x80ac58cd, // ERC-721
            0x5b5e139f, // ERC-721 metadata
            0x49064906, // ERC-4906
            0x2a55205a, // ERC-2981
            0xf5112315 // ERC-5646
        ];
        for (uint256 i = 0; i < known.length; ++i) {
            vm.assertTrue(market.supportsInterface(known[i]), "known");
        }
        vm.assertFalse(market.supportsInterface(0xffffffff), "never, says ERC-165");
        vm.assertFalse(market.supportsInterface(0x780e9d63), "not enumerable");
        vm.assertFalse(market.supportsInterface(0), "nothing else");
    }

    function test_ContractURI_IsJsonInADataUri() public view {
        bytes memory uri = bytes(market.contractURI());
        bytes memory start = "data:application/json";
        vm.assertGe(uri.length, start.length + 20, "says something");
        for (uint256 i = 0; i < start.length; ++i) {
            vm.assertEq(uint8(uri[i]), uint8(start[i]), "media type");
        }
    }

    function test_RoyaltyInfo_IsATwentiethForTheModelsOwner() public {
        uint256 licenceId = buy(addPlan(terms()));
        (address receiver, uint256 amount) = market.royaltyInfo(licenceId, 1 ether);
        vm.assertEq(receiver, publisher, "receiver");
        vm.assertEq(amount, 0.05 ether, "amount");
        vm.prank(publisher);
        registry.transferFrom(publisher, friend, modelId);
        (receiver, amount) = market.royaltyInfo(licenceId, 19);
        vm.assertEq(receiver, friend, "follows the model");
        vm.assertEq(amount, 0, "rounded down");
    }
}
