// Pages on which a wallet signs something.
import "./behaviours/sign-in.js";
import "./behaviours/buy.js";
import "./behaviours/call.js";
import "./behaviours/operators.js";
import "./behaviours/plans.js";
import "./behaviours/publish-release.js";
