// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ILicenceMarket, PlanTerms} from "../../src/interfaces/ILicenceMarket.sol";
import {IModelRegistry, Share} from "../../src/interfaces/IModelRegistry.sol";
import {TestUSD} from "../../src/TestUSD.sol";
import {BuyActions} from "./BuyActions.sol";
import {HandlerBase} from "./HandlerBase.sol";
import {HolderActions} from "./HolderActions.sol";
import {ModelActions} from "./ModelActions.sol";
import {MoneyActions} from "./MoneyActions.sol";
import {MoodyToken} from "./MoodyToken.sol";
import {RoleActions} from "./RoleActions.sol";

/// @notice Everything that anybody can do at the market, at random.
contract MarketHandler is ModelActions, BuyActions, HolderActions, MoneyActions, RoleActions {
    constructor(ILicenceMarket market_, IModelRegistry registry_, TestUSD usd_, MoodyToken moody_)
        HandlerBase(market_, registry_, usd_, moody_)
    {}

    /// Something of every kind to begin with: a lineage of three, two operators, and plans that differ in how they vest.
    function prepare() external {
        feeBps = 250;
        vm.prank(admin);
        market.setFeeBps(feeBps);
        _registerOperator(actor("otto"), actor("key one"), actor("payee one"));
        _registerOperator(actor("olga"), actor("key two"), actor("payee two"));
        _publish(actor("petra"), new Share[](0), 700);
        Share[] memory parents = new Share[](1);
        parents[0] = Share(1, 1000);
        _publish(actor("paul"), parents, 333);
        parents = new Share[](2);
        (parents[0], parents[1]) = (Share(2, 333), Share(1, 701));
        _publish(actor("petra"), parents, 0);
        _preparePlans();
    }

    /// Which action a fuzzer is to call; what happens often in life is named more than once.
    function actions() external pure returns (bytes4[] memory list) {
        bytes4[34] memory all = [
            this.publish.selector,
            this.changeModel.selector,
            this.addPlan.selector,
            this.retirePlan.selector,
            this.buy.selector,
            this.buy.selector,
            this.buyWithPermit.selector,
            this.buyWithAuthorization.selector,
            this.renew.selector,
            this.renew.selector,
            this.transfer.selector,
            this.approve.selector,
            this.cancel.selector,
            this.cancelBySig.selector,
            this.settle.selector,
            this.deliver.selector,
            this.report.selector,
            this.report.selector,
            this.collect.selector,
            this.split.selector,
            this.split.selector,
            this.sufferSuspension.selector,
            this.settle.selector,
            this.deliver.selector,
            this.withdraw.selector,
            this.withdrawAccount.selector,
            this.suspend.selector,
            this.confirmSuspension.selector,
            this.resume.selector,
            this.pause.selector,
            this.changeSettings.selector,
            this.changeOperator.selector,
            this.passTime.selector,
            this.passTimeToABoundary.selector
        ];
        list = new bytes4[](all.length + 2);
        for (uint256 i = 0; i < all.length; ++i) {
            list[i] = all[i];
        }
        (list[all.length], list[all.length + 1]) = (this.changeMood.selector, this.donate.selector);
    }

    function _preparePlans() private {
        PlanTerms memory terms = PlanTerms({
            modelId: 3,
            token: tokens[1],
            price: 9_999_999,
            period: 30 days,
            vesting: 30 days,
            calls: 0,
            supply: 3,
            feeBps: feeBps,
            operatorId: 1,
            serviceBps: 1234,
            entryBps: 500,
            flags: RUN | TRANSFERABLE | RENEWABLE
        });
        _prepare(terms); // a month
        terms.calls = 20;
        _prepare(terms); // a month and 20 calls
        (terms.token, terms.price, terms.period, terms.vesting) = (address(0), 1 ether + 7, 0, 10 days);
        terms.flags |= DOWNLOAD;
        _prepare(terms); // 20 calls, to download as well
        (terms.modelId, terms.calls, terms.entryBps) = (2, 0, 0);
        terms.flags = RUN | DOWNLOAD;
        _prepare(terms); // for ever, to download
        (terms.token, terms.price, terms.flags) = (tokens[2], 77, RUN | DOWNLOAD | TRANSFERABLE);
        _prepare(terms);
        (terms.modelId, terms.period, terms.vesting, terms.flags) = (1, 1 days, 0, RUN | RENEWABLE);
        (terms.supply, terms.operatorId) = (1, 2);
        _prepare(terms); // a day, vests at once
        (terms.token, terms.price, terms.period, terms.vesting, terms.calls) = (tokens[1], 101, 3 days, 3 days, 7);
        _prepare(terms);
        (terms.calls, terms.price) = (2 ** 31 - 1, 0);
        _prepare(terms); // free, and no calls can be added
    }

    function _prepare(PlanTerms memory terms) private {
        _addPlan(_models[terms.modelId].owner, terms, true);
    }
}
