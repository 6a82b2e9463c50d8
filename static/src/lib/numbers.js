// Numbers as people write them in forms. Each throws StateError with what to mend.
import { parseUnits } from "viem";
import { StateError } from "./errors.js";

const MOST_PRICE = 2n ** 96n;

/** A whole number from `low` to `high`, both included. */
export function whole(text, { name, low, high }) {
  const value = Number(text || "0");
  if (!Number.isInteger(value) || value < low || value > high) {
    throw new StateError("failed", `${name} must be a whole number from ${low} to ${high}.`);
  }
  return value;
}

/** Hundredths of a percent of a percentage up to `most`. */
export function bps(text, { name, most }) {
  const given = (text || "0").trim();
  const value = Math.round(Number(given) * 100);
  if (!/^\d{1,3}(\.\d{1,2})?$/.test(given) || value > most * 100) {
    throw new StateError("failed", `${name} must be a percentage from 0 to ${most}, with at most two decimals.`);
  }
  return value;
}

/** A price in the token's smallest unit. */
export function price(text, decimals) {
  const given = text.trim();
  if (!/^\d+(\.\d+)?$/.test(given) || (given.split(".")[1] ?? "").length > decimals) {
    throw new StateError("failed", `The price must be a number with at most ${decimals} decimals, such as 5 or 2.50.`);
  }
  const value = parseUnits(given, decimals);
  if (value >= MOST_PRICE) throw new StateError("failed", "The price is higher than the contract can hold.");
  return value;
}
