// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC721Metadata} from "@openzeppelin/contracts/token/ERC721/extensions/IERC721Metadata.sol";
import {ERC721Model} from "../helpers/ERC721Model.sol";
import {MarketTest} from "../helpers/MarketTest.sol";

/// @notice A licence of a transferable plan is an ERC-721 token, until it is cancelled or settled.
contract ERC721MarketTest is MarketTest, ERC721Model {
    uint256 internal planId;
    uint256 internal meteredPlanId;

    function setUp() public override {
        super.setUp();
        planId = addPlan(terms());
        meteredPlanId = addPlan(meteredTerms());
    }

    function nft() internal view override returns (IERC721Metadata) {
        return IERC721Metadata(address(market));
    }

    function mintTo(address to) internal override returns (uint256) {
        return buyFor(planId, to);
    }

    /// The largest serial of a plan that exists, and an id of a plan that does not.
    function test_Unknown_IsUnknownWhereverItLies() public {
        uint256[3] memory unknown = [planId << 32, planId << 32 | type(uint32).max, uint256(1)];
        for (uint256 i = 0; i < unknown.length; ++i) {
            vm.expectRevert();
            market.ownerOf(unknown[i]);
            vm.expectRevert();
            market.tokenURI(unknown[i]);
        }
    }

    /// "This event emits when NFTs are ... destroyed (`to` == 0)."
    function test_Transfer_IsEmittedWhenATokenIsBurned() public {
        uint256 id = mint();
        approve(id);
        uint256 before = market.balanceOf(owner721);
        vm.recordLogs();
        vm.prank(owner721);
        market.cancel(id, owner721);
        vm.assertEq(transfersOf(id, owner721, address(0)), 1, "one event");
        vm.assertEq(market.balanceOf(owner721), before - 1, "one less");
    }

    /// What was burned is no token any more, for anyone who had a right to it.
    function test_Burned_IsUnknown() public {
        uint256 id = mint();
        approve(id);
        vm.prank(owner721);
        market.cancel(id, owner721);
        address[3] memory senders = [owner721, operator721, approved721];
        for (uint256 i = 0; i < senders.length; ++i) {
            vm.startPrank(senders[i]);
            vm.expectRevert();
            market.transferFrom(owner721, other721, id);
            vm.expectRevert();
            market.approve(other721, id);
            vm.stopPrank();
        }
        vm.expectRevert();
        market.ownerOf(id);
        vm.expectRevert();
        market.getApproved(id);
        vm.expectRevert();
        market.tokenURI(id);
    }

    /// A cancelled metered licence waits for its settlement with its holder: nobody moves it, by any way.
    function test_Cancelled_DoesNotMove() public {
        uint256 id = buyFor(meteredPlanId, owner721);
        approve(id);
        vm.prank(owner721);
        market.cancel(id, owner721);
        address[3] memory senders = [owner721, operator721, approved721];
        for (uint256 i = 0; i < 9; ++i) {
            vm.startPrank(senders[i % 3]);
            vm.expectRevert();
            send(i / 3, owner721, other721, id);
            vm.stopPrank();
        }
        vm.assertEq(market.ownerOf(id), owner721, "owner");
    }
}
