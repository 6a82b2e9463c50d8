// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILicenceMarket, PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {ERC721} from "solady/tokens/ERC721.sol";
import {MarketTest} from "../helpers/MarketTest.sol";

contract MarketPlansTest is MarketTest {
    function expectAddReverts(PlanTerms memory terms, bytes memory refusal) internal {
        expectError(refusal);
        vm.prank(publisher);
        market.addPlan(terms);
    }

    function test_AddPlan_KeepsEveryTerm() public {
        PlanTerms memory terms = PlanTerms(modelId, address(usd), 1, 2, 3, 4, RUN | DOWNLOAD | TRANSFERABLE);
        uint256 planId = addPlan(terms);

        (PlanTerms memory kept, uint32 live, uint32 sold, bool retired) = market.plan(planId);
        vm.assertEq(keccak256(abi.encode(kept)), keccak256(abi.encode(terms)), "terms");
        vm.assertEq(live, 0, "live");
        vm.assertEq(sold, 0, "sold");
        vm.assertFalse(retired, "retired");
    }

    function test_AddPlan_EmitsTheTermsAndTheirHash() public {
        PlanTerms memory terms = nativeTerms();
        vm.expectEmit(address(market));
        emit ILicenceMarket.PlanAdded(modelId << 32 | 1, modelId, terms, keccak256(abi.encode(terms)));
        addPlan(terms);
    }

    function test_AddPlan_CountsPerModel() public {
        vm.prank(publisher);
        uint256 otherModel = registry.publish(keccak256("other"));
        PlanTerms memory other = nativeTerms();
        other.modelId = otherModel;

        vm.assertEq(addPlan(nativeTerms()), modelId << 32 | 1, "first");
        vm.assertEq(addPlan(nativeTerms()), modelId << 32 | 2, "second");
        vm.assertEq(addPlan(other), otherModel << 32 | 1, "first of another model");
        vm.assertEq(market.planCount(modelId), 2, "count");
    }

    function test_AddPlan_RevertsWhenTheCallerIsNotTheOwner() public {
        vm.prank(publisher);
        registry.setApprovalForAll(outsider, true); // an approval is for the token, not for its prices
        expectError(abi.encodeWithSelector(ILicenceMarket.NotModelOwner.selector, modelId, outsider));
        vm.prank(outsider);
        market.addPlan(nativeTerms());
    }

    function test_AddPlan_RevertsWhenTheModelIsUnknown() public {
        PlanTerms memory terms = nativeTerms();
        terms.modelId = 99;
        expectAddReverts(terms, abi.encodeWithSelector(ERC721.TokenDoesNotExist.selector));
    }

    function test_AddPlan_RevertsWhenTheTokenIsNotAllowed() public {
        PlanTerms memory terms = nativeTerms();
        terms.token = address(registry);
        expectAddReverts(terms, abi.encodeWithSelector(ILicenceMarket.TokenNotAllowed.selector, address(registry)));
    }

    function test_AddPlan_RevertsWhenNoRightIsGiven() public {
        PlanTerms memory terms = nativeTerms();
        terms.flags = TRANSFERABLE;
        expectAddReverts(terms, abi.encodeWithSelector(ILicenceMarket.FlagsInvalid.selector, TRANSFERABLE));
        terms.flags = 0;
        expectAddReverts(terms, abi.encodeWithSelector(ILicenceMarket.FlagsInvalid.selector, 0));
    }

    function test_AddPlan_RevertsWhenAFlagIsUnknown() public {
        PlanTerms memory terms = nativeTerms();
        terms.flags = 8 | RUN;
        expectAddReverts(terms, abi.encodeWithSelector(ILicenceMarket.FlagsInvalid.selector, 8 | RUN));
    }

    function testFuzz_AddPlan_TakesExactlyTheSixUsefulFlagSets(uint8 flags) public {
        PlanTerms memory terms = nativeTerms();
        terms.flags = flags;
        bool useful = flags == 1 || flags == 2 || flags == 3 || flags == 5 || flags == 6 || flags == 7;
        if (!useful) expectError(abi.encodeWithSelector(ILicenceMarket.FlagsInvalid.selector, flags));
        vm.prank(publisher);
        market.addPlan(terms);
    }

    function test_AddPlan_RevertsWhenTheSupplyIsZero() public {
        PlanTerms memory terms = nativeTerms();
        terms.supply = 0;
        expectAddReverts(terms, abi.encodeWithSelector(ILicenceMarket.SupplyZero.selector));
    }

    function test_AddPlan_RevertsWhenThePeriodIsTooLong() public {
        PlanTerms memory terms = nativeTerms();
        terms.period = 3650 days;
        addPlan(terms);
        terms.period = 3650 days + 1;
        expectAddReverts(
            terms, abi.encodeWithSelector(ILicenceMarket.PeriodTooLong.selector, 3650 days + 1, uint256(3650 days))
        );
    }

    function test_RetirePlan_StopsSalesAndKeepsLicences() public {
        uint256 planId = addPlan(nativeTerms());
        uint256 licenceId = buy(planId);
        vm.expectEmit(address(market));
        emit ILicenceMarket.PlanRetired(planId);
        vm.prank(publisher);
        market.retirePlan(planId);

        (,,, bool retired) = market.plan(planId);
        vm.assertTrue(retired, "retired");
        vm.assertTrue(market.isValid(licenceId), "the licence goes on");
    }

    function test_RetirePlan_RevertsWhenTheCallerIsNotTheOwner() public {
        uint256 planId = addPlan(nativeTerms());
        expectError(abi.encodeWithSelector(ILicenceMarket.NotModelOwner.selector, modelId, outsider));
        vm.prank(outsider);
        market.retirePlan(planId);
    }

    function test_RetirePlan_RevertsWhenThePlanIsUnknown() public {
        uint256 planId = modelId << 32 | 1;
        expectError(abi.encodeWithSelector(ILicenceMarket.PlanUnknown.selector, planId));
        vm.prank(publisher);
        market.retirePlan(planId);
    }

    function test_RetirePlan_RevertsWhenItIsRetiredAlready() public {
        uint256 planId = addPlan(nativeTerms());
        vm.startPrank(publisher);
        market.retirePlan(planId);
        expectError(abi.encodeWithSelector(ILicenceMarket.PlanIsRetired.selector, planId));
        market.retirePlan(planId);
    }

    function test_RetirePlan_BelongsToTheModelsNewOwner() public {
        uint256 planId = addPlan(nativeTerms());
        vm.prank(publisher);
        registry.transferFrom(publisher, friend, modelId);
        expectError(abi.encodeWithSelector(ILicenceMarket.NotModelOwner.selector, modelId, publisher));
        vm.prank(publisher);
        market.retirePlan(planId);

        vm.prank(friend);
        market.retirePlan(planId);
    }

    function test_Plan_RevertsWhenItIsUnknown() public {
        expectError(abi.encodeWithSelector(ILicenceMarket.PlanUnknown.selector, 5));
        market.plan(5);
    }

    function test_PlanHash_RevertsWhenThePlanIsUnknown() public {
        expectError(abi.encodeWithSelector(ILicenceMarket.PlanUnknown.selector, 5));
        market.planHash(5);
    }

    function testFuzz_PlanHash_CoversEveryField(uint256 field, uint32 change) public {
        vm.prank(publisher);
        registry.publish(keccak256("model 2"));
        PlanTerms memory terms = usdTerms();
        PlanTerms memory other = usdTerms();
        field = bound(field, 0, 6);
        change = uint32(bound(change, 1, 1000));
        if (field == 0) other.modelId = 2;
        if (field == 1) other.token = address(0);
        if (field == 2) other.price += change;
        if (field == 3) other.period += change;
        if (field == 4) other.calls += change;
        if (field == 5) other.supply += change;
        if (field == 6) other.flags = DOWNLOAD;

        bytes32 hash = market.planHash(addPlan(terms));
        vm.assertEq(hash, keccak256(abi.encode(terms)), "as documented");
        vm.assertTrue(hash != market.planHash(addPlan(other)), "another plan, another hash");
    }
}
