// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {IERC721Metadata} from "@openzeppelin/contracts/token/ERC721/extensions/IERC721Metadata.sol";
import {ModelRegistry} from "../../src/ModelRegistry.sol";
import {Share} from "../../src/interfaces/IModelRegistry.sol";
import {ERC721Model} from "../helpers/ERC721Model.sol";

/// @notice A model is an ERC-721 token.
contract ERC721RegistryTest is ERC721Model {
    ModelRegistry internal registry;

    function setUp() public {
        registry = new ModelRegistry();
    }

    function nft() internal view override returns (IERC721Metadata) {
        return IERC721Metadata(address(registry));
    }

    function mintTo(address to) internal override returns (uint256) {
        vm.prank(to);
        return registry.publish(keccak256("release"), new Share[](0), 0);
    }
}
