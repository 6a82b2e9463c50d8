// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {LicenceMarket} from "../../src/LicenceMarket.sol";
import {ModelRegistry} from "../../src/ModelRegistry.sol";
import {TestUSD} from "../../src/TestUSD.sol";
import {LicenceState, PlanTerms, Roles} from "../../src/interfaces/ILicenceMarket.sol";
import {Share} from "../../src/interfaces/IModelRegistry.sol";
import {TestBase} from "./TestBase.sol";

/// @notice A registry with one model, a market that takes TestUSD, an operator, and the cast of the tests.
/// The buyer pays, the holder receives the licence; all can sign under their names.
abstract contract MarketTest is TestBase {
    uint8 internal constant RUN = 1;
    uint8 internal constant DOWNLOAD = 2;
    uint8 internal constant TRANSFERABLE = 4;
    uint8 internal constant RENEWABLE = 8;
    uint256 internal constant START = 1_800_000_000;
    uint16 internal constant FEE_BPS = 250;
    uint96 internal constant PRICE = 30_000_000;
    uint96 internal constant ENTRY = 1_500_000; // 5 % of the price, so that the rest vests at 950,000 a day

    address internal admin = actor("admin");
    address internal guardian = actor("guardian");
    address internal pauser = actor("pauser");
    address internal treasury = actor("treasury");
    address internal publisher = actor("publisher");
    address internal operatorOwner = actor("operatorOwner");
    address internal operatorKey = actor("operatorKey");
    address internal payee = actor("payee");
    address internal buyer = actor("buyer");
    address internal holder = actor("holder");
    address internal friend = actor("friend");
    address internal outsider = actor("outsider");

    ModelRegistry internal registry;
    LicenceMarket internal market;
    TestUSD internal usd;
    uint256 internal modelId;
    uint256 internal operatorId;

    function setUp() public virtual {
        vm.warp(START);
        registry = new ModelRegistry();
        market = new LicenceMarket(registry, Roles(admin, guardian, pauser, treasury));
        usd = new TestUSD();
        vm.startPrank(admin);
        market.setTokenAllowed(address(usd), true);
        market.setFeeBps(FEE_BPS);
        vm.stopPrank();
        modelId = publish(publisher);
        vm.prank(operatorOwner);
        operatorId = market.registerOperator(operatorKey, payee);
        vm.deal(buyer, 1e30);
        usd.mint(buyer, 1e30);
        vm.prank(buyer);
        usd.approve(address(market), type(uint256).max);
    }

    function publish(address owner) internal returns (uint256) {
        return publishFrom(owner, new Share[](0), 0);
    }

    function publishFrom(address owner, Share[] memory parents, uint16 derivativeBps) internal returns (uint256) {
        vm.prank(owner);
        return registry.publish(keccak256("release"), parents, derivativeBps);
    }

    /// 30 days in TestUSD, renewable and transferable, vesting over time, with an operator; a test changes what it needs.
    function terms() internal view returns (PlanTerms memory) {
        return PlanTerms({
            modelId: modelId,
            token: address(usd),
            price: PRICE,
            period: 30 days,
            vesting: 30 days,
            calls: 0,
            supply: 100,
            feeBps: FEE_BPS,
            operatorId: uint32(operatorId),
            serviceBps: 1_000,
            entryBps: 500,
            flags: RUN | TRANSFERABLE | RENEWABLE
        });
    }

    /// The same with 1,000 calls: vests over time or use, whichever is faster.
    function meteredTerms() internal view returns (PlanTerms memory plan) {
        plan = terms();
        plan.calls = 1_000;
    }

    /// 1,000 calls without an end: vests by use, and over 90 days.
    function perpetualTerms() internal view returns (PlanTerms memory plan) {
        plan = meteredTerms();
        plan.period = 0;
        plan.vesting = 90 days;
    }

    /// The plan of `terms`, in the native coin.
    function nativeTerms() internal view returns (PlanTerms memory plan) {
        plan = terms();
        plan.token = address(0);
        plan.price = 0.3 ether;
    }

    /// A perpetual licence to download, vesting over 30 days.
    function downloadTerms() internal view returns (PlanTerms memory plan) {
        plan = terms();
        plan.period = 0;
        plan.flags = RUN | DOWNLOAD | TRANSFERABLE;
    }

    function addPlan(PlanTerms memory plan) internal returns (uint256 planId) {
        vm.prank(registry.ownerOf(plan.modelId));
        return market.addPlan(plan);
    }

    /// The buyer buys for the holder, with the exact value.
    function buy(uint256 planId) internal returns (uint256 licenceId) {
        return buyFor(planId, holder);
    }

    function buyFor(uint256 planId, address recipient) internal returns (uint256 licenceId) {
        bytes32 agreed = market.planHash(planId);
        uint256 value = valueOf(planId);
        vm.prank(buyer);
        return market.buy{value: value}(planId, agreed, recipient);
    }

    /// The buyer pays for a new term.
    function renew(uint256 licenceId) internal {
        bytes32 agreed = market.planHash(licenceId >> 32);
        uint256 value = valueOf(licenceId >> 32);
        address payer = renewer(licenceId);
        vm.prank(payer);
        market.renew{value: value}(licenceId, agreed);
    }

    /// Who may renew: the buyer, but of a metered licence its holder alone, who is given the price.
    function renewer(uint256 licenceId) internal returns (address payer) {
        (PlanTerms memory plan,) = market.plan(licenceId >> 32);
        if (plan.calls == 0) return buyer;
        payer = market.ownerOf(licenceId);
        if (plan.token == address(0)) {
            vm.deal(payer, payer.balance + plan.price);
        } else {
            TestUSD(plan.token).mint(payer, plan.price);
            vm.prank(payer);
            TestUSD(plan.token).approve(address(market), plan.price);
        }
    }

    function cancel(uint256 licenceId) internal {
        address owner = market.ownerOf(licenceId);
        vm.prank(owner);
        market.cancel(licenceId, owner);
    }

    /// The operator of `terms` reports.
    function report(uint256 licenceId, uint32 used) internal {
        uint32[] memory counts = new uint32[](1);
        counts[0] = used;
        vm.prank(operatorKey);
        market.reportUsage(one(licenceId), counts);
    }

    function suspend(uint256 model) internal {
        vm.prank(guardian);
        market.suspend(model, keccak256("reason"));
    }

    function confirm(uint256 model) internal {
        vm.prank(admin);
        market.confirmSuspension(model);
    }

    function resume(uint256 model) internal {
        vm.prank(admin);
        market.resume(model);
    }

    function skip(uint256 time) internal {
        vm.warp(blockTime() + time);
    }

    /// The coin that a purchase under this plan sends along.
    function valueOf(uint256 planId) internal view returns (uint256) {
        (PlanTerms memory plan,) = market.plan(planId);
        return plan.token == address(0) ? plan.price : 0;
    }

    function state(uint256 licenceId) internal view returns (LicenceState memory) {
        return market.licenceStates(one(licenceId))[0];
    }

    function balanceOf(address token, address account) internal view returns (uint256) {
        return token == address(0) ? account.balance : TestUSD(token).balanceOf(account);
    }

    /// The EIP-712 digest of `structHash` under the market's domain.
    function marketDigest(bytes32 structHash) internal view returns (bytes32) {
        bytes32 domain = keccak256(
            abi.encode(
                keccak256("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
                keccak256("Weighhouse"),
                keccak256("1"),
                vm.getChainId(),
                address(market)
            )
        );
        return keccak256(abi.encodePacked(hex"1901", domain, structHash));
    }

    function cancelDigest(uint256 licenceId, address to, uint256 deadline) internal view returns (bytes32) {
        bytes32 kind = keccak256("Cancel(uint256 licenceId,address to,uint256 deadline)");
        return marketDigest(keccak256(abi.encode(kind, licenceId, to, deadline)));
    }

    function deliverDigest(uint256 licenceId, bytes32 recipientKey, uint256 deadline) internal view returns (bytes32) {
        bytes32 kind = keccak256("Deliver(uint256 licenceId,bytes32 recipientKey,uint256 deadline)");
        return marketDigest(keccak256(abi.encode(kind, licenceId, recipientKey, deadline)));
    }

    /// Expects the next call to fail with exactly this error and arguments.
    function expectError(bytes memory data) internal {
        vm.expectRevert(data);
    }
}
