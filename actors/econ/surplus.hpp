// The guarantees of pricing, tried on many random cases: customer cost never above w_h, and rebate + captured equal to
// spread * hours exactly. A program mode (`drover econ market --check-surplus N`) and a test run it.
#pragma once

#include <cstdint>
#include <string>

namespace drover::econ {

struct SurplusCheck {
  uint64_t seed = 0;
  uint64_t cases = 0;
  uint64_t quotes = 0;  // cases that gave a whole quote; the others were refused as too large
  uint64_t violations = 0;
  std::string first_violation;  // in words, with every number; empty: none
  uint64_t at_the_cap = 0;      // quotes whose premium ended at w_h * hours
  uint64_t below_the_cap = 0;
  uint64_t splits_with_spread = 0;  // w_r above w_h
};

// Wages, prices, rates, shares and hours of all sizes, small ones and the ends of their ranges often.
SurplusCheck check_surplus(uint64_t cases, uint64_t seed);

}  // namespace drover::econ
