import{Ba as a,Ca as b,Da as c,Ea as d}from"./chunk-Y7D3DQM2.js";import"./chunk-H57LH43S.js";export{d as ccipRequest,c as offchainLookup,b as offchainLookupAbiItem,a as offchainLookupSignature};
