// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {LicenceMarket} from "../../src/LicenceMarket.sol";
import {ModelRegistry} from "../../src/ModelRegistry.sol";
import {TestUSD} from "../../src/TestUSD.sol";
import {LicenceState, PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {TestBase} from "./TestBase.sol";

/// @notice A registry with one model, a market that takes TestUSD, and the cast of the tests.
abstract contract MarketTest is TestBase {
    uint8 internal constant RUN = 1;
    uint8 internal constant DOWNLOAD = 2;
    uint8 internal constant TRANSFERABLE = 4;
    uint256 internal constant START = 1_800_000_000;

    address internal admin = actor("admin");
    address internal publisher = actor("publisher");
    address internal buyer = actor("buyer");
    address internal friend = actor("friend");
    address internal outsider = actor("outsider");

    ModelRegistry internal registry;
    LicenceMarket internal market;
    TestUSD internal usd;
    uint256 internal modelId;

    function setUp() public virtual {
        vm.warp(START);
        registry = new ModelRegistry();
        market = new LicenceMarket(registry, admin);
        usd = new TestUSD();
        vm.prank(admin);
        market.setTokenAllowed(address(usd), true);
        vm.prank(publisher);
        modelId = registry.publish(keccak256("release"));
        vm.deal(buyer, 1e30);
        usd.mint(buyer, 1e30);
        vm.prank(buyer);
        usd.approve(address(market), type(uint256).max);
    }

    /// A monthly native plan that a test changes where it needs to.
    function nativeTerms() internal view returns (PlanTerms memory) {
        return PlanTerms(modelId, address(0), 0.1 ether, 30 days, 0, 100, RUN);
    }

    function usdTerms() internal view returns (PlanTerms memory) {
        return PlanTerms(modelId, address(usd), 25_000_000, 30 days, 0, 100, RUN);
    }

    function addPlan(PlanTerms memory terms) internal returns (uint256 planId) {
        vm.prank(registry.ownerOf(terms.modelId));
        return market.addPlan(terms);
    }

    /// The buyer buys for itself, with the exact value.
    function buy(uint256 planId) internal returns (uint256 licenceId) {
        return buyFor(planId, buyer);
    }

    function buyFor(uint256 planId, address recipient) internal returns (uint256 licenceId) {
        (PlanTerms memory terms,,,) = market.plan(planId);
        bytes32 agreed = market.planHash(planId);
        uint256 value = terms.token == address(0) ? terms.price : 0;
        vm.prank(buyer);
        return market.buy{value: value}(planId, agreed, recipient);
    }

    function state(uint256 licenceId) internal view returns (LicenceState memory) {
        uint256[] memory ids = new uint256[](1);
        ids[0] = licenceId;
        return market.licenceStates(ids)[0];
    }

    /// Expects the next call to fail with exactly this error and arguments.
    function expectError(bytes memory data) internal {
        vm.expectRevert(data);
    }
}
