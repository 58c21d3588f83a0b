// Contracts of data sharing: what a customer agreed to share, for which discount or premium, and for how long.
//
// Plain values and their TOML form (configs/econ/contracts.toml is an example). Shares and rates are kept in parts of
// 1e9, so that everything that follows from them is integer arithmetic that can be done again by hand.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "actors/econ/econ.hpp"
#include "messages/result.hpp"

namespace drover::econ {

enum class SharingTier : uint8_t { full_share, partial_share, no_share };

std::string_view sharing_tier_name(SharingTier tier) noexcept;  // "full_share" | "partial_share" | "no_share"
// Also "full", "partial", "none", "no". Errors: invalid_argument.
Result<SharingTier> sharing_tier_from_name(std::string_view name);
// The tier of a withheld share S: 0 shares all, 1e9 shares nothing, anything between is partial.
SharingTier tier_of_withheld(int64_t withheld_parts) noexcept;

struct Contract {
  std::string customer_id;
  SharingTier tier = SharingTier::full_share;
  int64_t withheld_parts = 0;           // S: 0 for full_share, 1e9 for no_share, between for partial_share
  int64_t discount_parts = 0;           // discount rate: share of the value of shared data that is given back, [0, 1e9]
  int64_t premium_parts = share_parts;  // premium rate: share of the value of withheld data that is charged, [0, 1e9]
  int64_t horizon_ns = 0;               // robot time that is priced, > 0
  int64_t start_unix_ns = 0;            // first moment it holds
  int64_t end_unix_ns = 0;              // first moment it no longer holds; 0: open
  bool operator==(const Contract&) const = default;
};

// Errors: invalid_argument (the field is named).
Status validate(const Contract& contract);
bool covers(const Contract& contract, int64_t unix_ns) noexcept;

// A number in [0, 1] as parts of 1e9, rounded to nearest. Errors: invalid_argument (`field` is named).
Result<int64_t> parts_of(double share, const char* field);
// Hours as nanoseconds. Errors: invalid_argument, too_large (over a century).
Result<int64_t> ns_of_hours(double hours, const char* field);

// [[contract]] tables; every problem at once ("file:line: key: what"). Customers must differ. Errors: invalid_argument.
Result<std::vector<Contract>> parse_contracts(std::string_view toml_text, const std::string& file);
// Errors: not_found, io, too_large, invalid_argument.
Result<std::vector<Contract>> load_contracts(const std::string& path);

}  // namespace drover::econ
