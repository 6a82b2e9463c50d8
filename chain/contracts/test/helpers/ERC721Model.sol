// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ERC721Conformance} from "./ERC721Conformance.sol";

/// @notice Random transfers and approvals by four people, against a second record of what EIP-721 makes of them.
abstract contract ERC721Model is ERC721Conformance {
    uint256 internal constant TOKENS = 3;
    uint256 internal constant STEPS = 24;

    address[4] internal people = [owner721, operator721, approved721, other721];
    uint256[] internal ids;
    uint256 internal random;

    mapping(uint256 id => address) internal ownerOf;
    mapping(uint256 id => address) internal approvedFor;
    mapping(address owner => mapping(address operator => bool)) internal allowed;

    function testFuzz_Tokens_BehaveAsTheModel(uint256 seed) public {
        random = seed;
        for (uint256 i = 0; i < TOKENS; ++i) {
            address to = person();
            ids.push(mintTo(to));
            ownerOf[ids[i]] = to;
        }
        for (uint256 i = 0; i < STEPS; ++i) {
            uint256 id = ids[draw(TOKENS)];
            uint256 action = draw(4);
            if (action == 0) stepApprove(id, person(), draw(4) == 0 ? address(0) : person());
            else if (action == 1) stepAllow(person(), person(), draw(2) == 0);
            else stepSend(id, person(), draw(4) == 0 ? person() : ownerOf[id], draw(8) == 0 ? address(0) : person());
            check();
        }
    }

    function draw(uint256 below) internal returns (uint256) {
        random = uint256(keccak256(abi.encode(random)));
        return random % below;
    }

    function person() internal returns (address) {
        return people[draw(4)];
    }

    function stepApprove(uint256 id, address by, address to) internal {
        bool may = by == ownerOf[id] || allowed[ownerOf[id]][by];
        vm.startPrank(by);
        if (!may) vm.expectRevert();
        nft().approve(to, id);
        vm.stopPrank();
        if (may) approvedFor[id] = to;
    }

    function stepAllow(address by, address to, bool yes) internal {
        vm.prank(by);
        nft().setApprovalForAll(to, yes);
        allowed[by][to] = yes;
    }

    function stepSend(uint256 id, address by, address from, address to) internal {
        address owner = ownerOf[id];
        bool may = by == owner || allowed[owner][by] || by == approvedFor[id];
        bool done = may && from == owner && to != address(0);
        uint256 way = draw(3);
        vm.startPrank(by);
        if (!done) vm.expectRevert();
        send(way, from, to, id);
        vm.stopPrank();
        if (done) (ownerOf[id], approvedFor[id]) = (to, address(0));
    }

    function check() internal view {
        uint256[4] memory balances;
        for (uint256 i = 0; i < TOKENS; ++i) {
            vm.assertEq(nft().ownerOf(ids[i]), ownerOf[ids[i]], "owner");
            vm.assertEq(nft().getApproved(ids[i]), approvedFor[ids[i]], "approved");
            for (uint256 k = 0; k < 4; ++k) {
                if (ownerOf[ids[i]] == people[k]) ++balances[k];
            }
        }
        for (uint256 k = 0; k < 4; ++k) {
            vm.assertEq(nft().balanceOf(people[k]), balances[k], "balance");
            for (uint256 i = 0; i < 4; ++i) {
                vm.assertEq(
                    nft().isApprovedForAll(people[k], people[i]) ? 1 : 0, allowed[people[k]][people[i]] ? 1 : 0, "all"
                );
            }
        }
    }
}
