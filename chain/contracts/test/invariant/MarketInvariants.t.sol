// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {LicenceMarket} from "../../src/LicenceMarket.sol";
import {ModelRegistry} from "../../src/ModelRegistry.sol";
import {TestUSD} from "../../src/TestUSD.sol";
import {ILicenceMarket, Roles} from "../../src/interfaces/ILicenceMarket.sol";
import {IModelRegistry} from "../../src/interfaces/IModelRegistry.sol";
import {Leaving} from "./Leaving.sol";
import {MarketHandler} from "./MarketHandler.sol";
import {MoodyToken} from "./MoodyToken.sol";

interface GasMeter {
    function pauseGasMetering() external;
}

/// @notice What holds after any sequence of actions by anybody.
contract MarketInvariantsTest is Leaving {
    /// forge prints what is sent there, from `-vv` on.
    address private constant CONSOLE = 0x000000000000000000636F6e736F6c652e6c6f67;
    uint256 private constant WALKS = 16;
    uint256 private constant STEPS = 144;

    function setUp() public {
        vm.warp(1_800_000_000);
        registry = new ModelRegistry();
        Roles memory roles = Roles(actor("admin"), actor("guardian"), actor("pauser"), actor("treasury one"));
        market = new LicenceMarket(registry, roles);
        TestUSD usd = new TestUSD();
        moody = new MoodyToken();
        moody.setMarket(address(market));
        vm.startPrank(actor("admin"));
        market.setTokenAllowed(address(usd), true);
        market.setTokenAllowed(address(moody), true);
        vm.stopPrank();
        handler = new MarketHandler(ILicenceMarket(address(market)), IModelRegistry(address(registry)), usd, moody);
        handler.prepare();
        target(address(handler), handler.actions());
    }

    /// One invariant for all: the same sequences of actions serve every check.
    function invariant_MarketIsSound() public view {
        _checkAll();
    }

    /// However a sequence ends, nothing stands between people and their money.
    function afterInvariant() public {
        _checkAll();
        _everybodyLeaves();
    }

    /// The same at dice of its own. A kind of action that never succeeds would make every check of it worthless.
    function test_EveryActionSucceeds() public {
        GasMeter(address(vm)).pauseGasMetering(); // thousands of actions in one test
        bytes4[] memory actions = handler.actions();
        // Memory outlives a return to the beginning.
        string[] memory kinds = new string[](64);
        uint256[] memory done = new uint256[](64);
        uint256[] memory refused = new uint256[](64);
        uint256 fresh = vm.snapshotState();
        for (uint256 walk = 0; walk < WALKS; ++walk) {
            _walk(actions, walk);
            _addCounts(kinds, done, refused);
            vm.revertToState(fresh);
        }
        for (uint256 i = 0; i < kinds.length && bytes(kinds[i]).length != 0; ++i) {
            _print(kinds[i], done[i], refused[i]);
        }
        for (uint256 i = 0; i < kinds.length && bytes(kinds[i]).length != 0; ++i) {
            vm.assertGe(done[i], 1, kinds[i]);
        }
        vm.assertEq(_kindsSeen(kinds), 40, "kinds of actions");
    }

    function _walk(bytes4[] memory actions, uint256 walk) private {
        for (uint256 i = 0; i < STEPS; ++i) {
            uint256 seed = uint256(keccak256(abi.encode(walk, i)));
            (bool done,) = address(handler).call(abi.encodeWithSelector(actions[seed % actions.length], seed));
            vm.assertTrue(done, "the handler fails");
            if (i % 16 == 15) _checkAll();
        }
        afterInvariant();
    }

    function _addCounts(string[] memory kinds, uint256[] memory done, uint256[] memory refused) private view {
        for (uint256 i = 0; i < handler.kindCount(); ++i) {
            string memory kind = handler.kinds(i);
            uint256 row = 0;
            while (bytes(kinds[row]).length != 0 && keccak256(bytes(kinds[row])) != keccak256(bytes(kind))) ++row;
            kinds[row] = kind;
            (uint256 did, uint256 not) = handler.countOf(kind);
            (done[row], refused[row]) = (done[row] + did, refused[row] + not);
        }
    }

    function _print(string memory kind, uint256 done, uint256 refused) private view {
        bytes memory line = abi.encodeWithSignature(
            "log(string,uint256,uint256)", string.concat(kind, ": done, refused"), done, refused
        );
        (bool printed,) = CONSOLE.staticcall(line);
        vm.assertTrue(printed, "printed");
    }

    function _kindsSeen(string[] memory kinds) private pure returns (uint256 seen) {
        while (bytes(kinds[seen]).length != 0) ++seen;
    }
}
