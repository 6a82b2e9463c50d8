import{Ha as a,Ia as b,Ja as c,Ka as d}from"./chunk-BRQ6RS4G.js";import"./chunk-H57LH43S.js";export{d as ccipRequest,c as offchainLookup,b as offchainLookupAbiItem,a as offchainLookupSignature};
