// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ModelRegistry} from "../../src/ModelRegistry.sol";
import {IModelRegistry, Share} from "../../src/interfaces/IModelRegistry.sol";
import {TestBase} from "../helpers/TestBase.sol";

/// @notice Lineage of random families against a second computation of it, from the specification: for every model that
/// exists, the largest share that any parent gives or passes on.
contract ModelRegistryReferenceTest is TestBase {
    uint256 internal constant MODELS = 24;

    ModelRegistry internal registry;
    uint256 internal random;

    /// What `child` owes `ancestor`, and in which order the shares were first named.
    mapping(uint256 child => mapping(uint256 ancestor => uint256)) internal owed;
    mapping(uint256 child => uint256[]) internal order;
    mapping(uint256 model => uint256) internal asks;

    uint256 internal published;
    uint256 internal refused;

    function setUp() public {
        registry = new ModelRegistry();
    }

    function testFuzz_Lineage_EqualsTheReference(uint256 seed) public {
        random = seed;
        // Small shares meet the limit of eight models, large ones that of 5,000 bps.
        uint256 most = draw(4) == 0 ? 3000 : 150;
        for (uint256 i = 0; i < MODELS; ++i) {
            tryChild(drawParents(most), uint16(draw(most / 2 + 1)));
        }
        vm.assertEq(published, registry.modelCount(), "models");
        vm.assertEq(published + refused, MODELS, "all were tried");
    }

    function draw(uint256 below) internal returns (uint256) {
        random = uint256(keccak256(abi.encode(random)));
        return random % below;
    }

    /// Up to four parents, duplicates among them, newer ones more often; a parent in eight gets less than it asks.
    function drawParents(uint256 most) internal returns (Share[] memory parents) {
        if (published == 0) return parents;
        parents = new Share[](draw(5));
        for (uint256 i = 0; i < parents.length; ++i) {
            uint256 window = draw(2) == 0 && published > 3 ? 3 : published;
            uint256 parent = published - draw(window);
            uint256 bps = asks[parent] + (draw(3) == 0 ? 0 : draw(most));
            if (asks[parent] != 0 && draw(8) == 0) bps = asks[parent] - 1;
            parents[i] = Share(parent, uint16(bps));
        }
    }

    function tryChild(Share[] memory parents, uint16 bps) internal {
        uint256 child = published + 1;
        bytes memory refusal = compute(child, parents);
        if (refusal.length != 0) {
            vm.expectRevert(refusal);
            registry.publish(keccak256("release"), parents, bps);
            forget(child);
            ++refused;
            return;
        }
        vm.assertEq(registry.publish(keccak256("release"), parents, bps), child, "id");
        ++published;
        asks[child] = bps;
        check(child);
    }

    /// Fills `owed` and `order` of `child`, and says with which error it is refused, if it is.
    function compute(uint256 child, Share[] memory parents) internal returns (bytes memory) {
        for (uint256 i = 0; i < parents.length; ++i) {
            uint256 parent = parents[i].modelId;
            if (parents[i].bps < asks[parent]) {
                return abi.encodeWithSelector(
                    IModelRegistry.ParentShareTooSmall.selector, parent, asks[parent], parents[i].bps
                );
            }
            name(child, parent, parents[i].bps);
            for (uint256 k = 0; k < order[parent].length; ++k) {
                name(child, order[parent][k], owed[parent][order[parent][k]]);
            }
            if (order[child].length > 8) return abi.encodeWithSelector(IModelRegistry.TooManyAncestors.selector, 8);
        }
        uint256 sum = 0;
        for (uint256 ancestor = 1; ancestor <= published; ++ancestor) {
            sum += owed[child][ancestor];
        }
        if (sum > 5000) return abi.encodeWithSelector(IModelRegistry.AncestorSharesTooLarge.selector, sum, 5000);
        return "";
    }

    function name(uint256 child, uint256 ancestor, uint256 bps) internal {
        if (bps == 0) return;
        if (owed[child][ancestor] == 0) order[child].push(ancestor);
        if (bps > owed[child][ancestor]) owed[child][ancestor] = bps;
    }

    function forget(uint256 child) internal {
        for (uint256 ancestor = 1; ancestor <= published; ++ancestor) {
            delete owed[child][ancestor];
        }
        delete order[child];
    }

    function check(uint256 child) internal view {
        Share[] memory stored = registry.ancestors(child);
        vm.assertEq(stored.length, order[child].length, "how many");
        for (uint256 i = 0; i < stored.length; ++i) {
            vm.assertEq(stored[i].modelId, order[child][i], "model");
            vm.assertEq(stored[i].bps, owed[child][order[child][i]], "share");
        }
    }
}
