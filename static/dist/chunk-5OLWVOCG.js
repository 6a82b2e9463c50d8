import{Ha as a,Ia as b,Ja as c,Ka as d}from"./chunk-HQSRNQTH.js";import"./chunk-YDYHJRLM.js";export{d as ccipRequest,c as offchainLookup,b as offchainLookupAbiItem,a as offchainLookupSignature};
