// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {LicenceMarket} from "../../src/LicenceMarket.sol";
import {ModelRegistry} from "../../src/ModelRegistry.sol";
import {TestUSD} from "../../src/TestUSD.sol";
import {LicenceState, PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {HostileToken} from "../helpers/HostileToken.sol";
import {TestBase} from "../helpers/TestBase.sol";
import {MarketHandler} from "./MarketHandler.sol";

/// @notice What holds after any sequence of actions. The contract's views are compared with sums walked over what
/// the handler saw actors pay and receive, and over every token id that exists.
contract MarketInvariantsTest is TestBase {
    LicenceMarket internal market;
    ModelRegistry internal registry;
    MarketHandler internal handler;

    function setUp() public {
        vm.warp(1_800_000_000);
        registry = new ModelRegistry();
        market = new LicenceMarket(registry, actor("admin"));
        TestUSD usd = new TestUSD();
        HostileToken hostile = new HostileToken();
        vm.startPrank(actor("admin"));
        market.setTokenAllowed(address(usd), true);
        market.setTokenAllowed(address(hostile), true);
        vm.stopPrank();
        handler = new MarketHandler(market, registry, usd, hostile, actor("admin"));

        // Something to buy from the first step on.
        handler.publish(0, keccak256("release"));
        handler.publish(1, keccak256("release of another"));
        handler.addPlan(0, 0, PlanTerms(0, address(0), 1 ether, 30 days, 0, 3, 0));
        handler.addPlan(0, 1, PlanTerms(0, address(0), 9_000_000, 0, 50, 3, 1));
        handler.addPlan(1, 2, PlanTerms(0, address(0), 77, 1 days, 0, 3, 1));
        target(address(handler), _actions());
    }

    function _actions() private pure returns (bytes4[] memory actions) {
        bytes4[16] memory list = [
            MarketHandler.publish.selector,
            MarketHandler.release.selector,
            MarketHandler.transferModel.selector,
            MarketHandler.addPlan.selector,
            MarketHandler.retirePlan.selector,
            MarketHandler.buy.selector,
            MarketHandler.buyAtAWrongPrice.selector,
            MarketHandler.buyUnderAnotherHash.selector,
            MarketHandler.withdraw.selector,
            MarketHandler.transferLicence.selector,
            MarketHandler.stealLicence.selector,
            MarketHandler.passTime.selector,
            MarketHandler.allowToken.selector,
            MarketHandler.changeHostileToken.selector,
            MarketHandler.donate.selector,
            MarketHandler.passTimeToAnExpiry.selector
        ];
        actions = new bytes4[](list.length);
        for (uint256 i = 0; i < list.length; ++i) {
            actions[i] = list[i];
        }
    }

    /// One invariant for all: the same sequences of actions serve every check.
    function invariant_MarketIsSound() public view {
        _checkNoActionDidWhatItMustNot();
        _checkBalanceCoversCredits();
        _checkPaidIsWithdrawnOrOwed();
        _checkCreditIsWhatTheModelEarned();
        _checkLiveIsExistingLicencesAndNotMoreThanTheSupply();
        _checkEveryLicenceWasPaidExactly();
        _checkLicencesAreWhatWasBought();
        _checkPlansNeverChange();
        _checkModelsKeepTheirOwnersAndReleases();
    }

    function _checkNoActionDidWhatItMustNot() private view {
        vm.assertEq(handler.violation(), "", "violation");
    }

    function _checkBalanceCoversCredits() private view {
        for (uint256 t = 0; t < 3; ++t) {
            address token = handler.tokens(t);
            uint256 credits = _credits(token);
            uint256 held = handler.balance(token, address(market));
            vm.assertGe(held, credits, "balance >= credits");
            vm.assertEq(held, handler.donated(token) + credits, "and nothing but gifts beside them");
        }
    }

    function _checkPaidIsWithdrawnOrOwed() private view {
        for (uint256 t = 0; t < 3; ++t) {
            address token = handler.tokens(t);
            vm.assertEq(handler.paidIn(token), handler.paidOut(token) + _credits(token), "paid = withdrawn + owed");
        }
    }

    function _checkCreditIsWhatTheModelEarned() private view {
        for (uint256 modelId = 1; modelId <= handler.models(); ++modelId) {
            for (uint256 t = 0; t < 3; ++t) {
                address token = handler.tokens(t);
                vm.assertEq(market.credit(modelId, token), handler.earned(modelId, token), "credit");
            }
        }
    }

    function _checkLiveIsExistingLicencesAndNotMoreThanTheSupply() private view {
        uint256 existing;
        for (uint256 i = 0; i < handler.planCount(); ++i) {
            uint256 planId = handler.planIds(i);
            uint256 walked;
            // Serials up to two beyond the supply: a token there would be one too many.
            for (uint256 serial = 0; serial <= uint256(handler.terms(planId).supply) + 2; ++serial) {
                if (_state(planId << 32 | serial).exists) ++walked;
            }
            (, uint32 live, uint32 sold,) = market.plan(planId);
            vm.assertEq(live, walked, "live = existing");
            vm.assertEq(sold, walked, "sold = existing, while no licence can end");
            vm.assertLe(live, handler.terms(planId).supply, "live <= supply");
            existing += walked;
        }
        vm.assertEq(existing, handler.licenceCount(), "every licence was bought");
    }

    function _checkEveryLicenceWasPaidExactly() private view {
        for (uint256 i = 0; i < handler.licenceCount(); ++i) {
            MarketHandler.Purchase memory bought = handler.purchase(handler.licenceIds(i));
            vm.assertEq(bought.paid, bought.price, "paid = price");
        }
    }

    function _checkLicencesAreWhatWasBought() private view {
        for (uint256 i = 0; i < handler.licenceCount(); ++i) {
            uint256 licenceId = handler.licenceIds(i);
            MarketHandler.Purchase memory bought = handler.purchase(licenceId);
            PlanTerms memory terms = handler.terms(bought.planId);
            LicenceState memory state = _state(licenceId);
            vm.assertEq(state.owner, bought.holder, "holder");
            vm.assertEq(market.ownerOf(licenceId), bought.holder, "owner");
            vm.assertEq(state.planId, bought.planId, "plan");
            vm.assertEq(state.modelId, terms.modelId, "model");
            vm.assertEq(state.expiry, bought.expiry, "expiry");
            vm.assertEq(state.calls, terms.calls, "calls");
            vm.assertEq(state.flags, terms.flags, "flags");
            bool valid = bought.expiry == 0 || block.timestamp < bought.expiry;
            vm.assertTrue(state.valid == valid && market.isValid(licenceId) == valid, "valid");
        }
    }

    function _checkPlansNeverChange() private view {
        for (uint256 i = 0; i < handler.planCount(); ++i) {
            uint256 planId = handler.planIds(i);
            (PlanTerms memory terms,,, bool retired) = market.plan(planId);
            bytes32 added = keccak256(abi.encode(handler.terms(planId)));
            vm.assertEq(keccak256(abi.encode(terms)), added, "terms");
            vm.assertEq(market.planHash(planId), added, "hash");
            vm.assertTrue(retired == handler.retired(planId), "retired");
        }
    }

    function _checkModelsKeepTheirOwnersAndReleases() private view {
        for (uint256 modelId = 1; modelId <= handler.models(); ++modelId) {
            bytes32[] memory digests = handler.digests(modelId);
            vm.assertEq(registry.ownerOf(modelId), handler.publisherOf(modelId), "owner");
            vm.assertEq(registry.latestDigest(modelId), digests[digests.length - 1], "latest digest");
            vm.assertEq(registry.releaseCount(modelId), digests.length, "releases");
        }
        vm.assertEq(registry.modelCount(), handler.models(), "models");
    }

    function _credits(address token) private view returns (uint256 sum) {
        for (uint256 modelId = 1; modelId <= handler.models(); ++modelId) {
            sum += market.credit(modelId, token);
        }
    }

    function _state(uint256 licenceId) private view returns (LicenceState memory) {
        uint256[] memory ids = new uint256[](1);
        ids[0] = licenceId;
        return market.licenceStates(ids)[0];
    }
}
