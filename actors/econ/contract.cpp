#include "actors/econ/contract.hpp"

#include <array>
#include <chrono>
#include <cmath>
#include <set>

#include "actors/econ/strict_toml.hpp"

namespace drover::econ {
namespace {

constexpr double ns_per_h = 3.6e12;
constexpr double horizon_max_h = 876'600;  // a century
constexpr size_t contracts_max = 100'000;
constexpr size_t customer_max_bytes = 128;

// "2026-01-31" as the beginning of that day, UTC. False: it is not a date.
bool parse_date(const std::string& text, int64_t& unix_ns) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return false;
  std::array<int, 3> parts{};
  constexpr std::array<std::pair<size_t, size_t>, 3> spans{{{0, 4}, {5, 2}, {8, 2}}};
  for (size_t i = 0; i < spans.size(); ++i)
    for (size_t at = spans[i].first; at < spans[i].first + spans[i].second; ++at) {
      if (text[at] < '0' || text[at] > '9') return false;
      parts[i] = parts[i] * 10 + (text[at] - '0');
    }
  const std::chrono::year_month_day day{std::chrono::year(parts[0]),
                                        std::chrono::month(static_cast<unsigned>(parts[1])),
                                        std::chrono::day(static_cast<unsigned>(parts[2]))};
  if (!day.ok() || parts[0] < 1970 || parts[0] > 2200) return false;
  unix_ns = std::chrono::sys_days(day).time_since_epoch().count() * int64_t{86'400'000'000'000};
  return true;
}

void read_date(StrictTable& table, const char* key, int64_t& unix_ns) {
  std::string text;
  if (table.text(key, text) && !parse_date(text, unix_ns))
    table.problem(key, "must be a day such as \"2026-01-31\" (UTC)");
}

void read_tier(StrictTable& table, Contract& contract) {
  std::string name;
  if (!table.text("sharing_tier", name, true)) return;
  const auto tier = sharing_tier_from_name(name);
  if (!tier) return table.problem("sharing_tier", "must be full_share, partial_share or no_share");
  contract.tier = *tier;
  double withheld = 0.5;
  const bool given = table.number("withheld_share", withheld, {0, 1});
  if (*tier != SharingTier::partial_share && given)
    table.problem("withheld_share", "only a partial_share has one: full_share withholds 0, no_share 1");
  if (*tier == SharingTier::partial_share && (withheld <= 0 || withheld >= 1))
    table.problem("withheld_share", "of a partial_share must be between 0 and 1");
  contract.withheld_parts = *tier == SharingTier::full_share ? 0
                            : *tier == SharingTier::no_share ? share_parts
                                                             : parts_of(withheld, "withheld_share").value_or(0);
}

Contract read_contract(const toml::table& node, TomlProblems& problems) {
  StrictTable table(node, "contract.", problems);
  Contract c;
  if (table.text("customer_id", c.customer_id, true) &&
      (c.customer_id.empty() || c.customer_id.size() > customer_max_bytes))
    table.problem("customer_id", "needs 1 to 128 bytes");
  read_tier(table, c);
  double discount = 0;
  double premium = 1;
  double hours = 0;
  table.number("discount_rate", discount, {0, 1});
  table.number("premium_rate", premium, {0, 1});
  table.number("horizon_hours", hours, {0, horizon_max_h, true}, true);
  c.discount_parts = parts_of(discount, "discount_rate").value_or(0);
  c.premium_parts = parts_of(premium, "premium_rate").value_or(0);
  c.horizon_ns = ns_of_hours(hours, "horizon_hours").value_or(0);
  read_date(table, "start", c.start_unix_ns);
  read_date(table, "end", c.end_unix_ns);
  if (c.end_unix_ns != 0 && c.end_unix_ns <= c.start_unix_ns) table.problem("end", "must be after start");
  table.finish();
  return c;
}

}  // namespace

std::string_view sharing_tier_name(SharingTier tier) noexcept {
  return tier == SharingTier::full_share      ? "full_share"
         : tier == SharingTier::partial_share ? "partial_share"
                                              : "no_share";
}

Result<SharingTier> sharing_tier_from_name(std::string_view name) {
  if (name == "full_share" || name == "full") return SharingTier::full_share;
  if (name == "partial_share" || name == "partial") return SharingTier::partial_share;
  if (name == "no_share" || name == "no" || name == "none") return SharingTier::no_share;
  return fail(Errc::invalid_argument, "sharing_tier", "must be full_share, partial_share or no_share");
}

SharingTier tier_of_withheld(int64_t withheld_parts) noexcept {
  return withheld_parts <= 0             ? SharingTier::full_share
         : withheld_parts >= share_parts ? SharingTier::no_share
                                         : SharingTier::partial_share;
}

Status validate(const Contract& c) {
  if (c.customer_id.empty() || c.customer_id.size() > customer_max_bytes)
    return fail(Errc::invalid_argument, "contract.customer_id", "needs 1 to 128 bytes");
  if (c.withheld_parts < 0 || c.withheld_parts > share_parts)
    return fail(Errc::invalid_argument, "contract.withheld_share", "must be in [0, 1]");
  if (tier_of_withheld(c.withheld_parts) != c.tier)
    return fail(Errc::invalid_argument, "contract.sharing_tier", "does not agree with the withheld share");
  if (c.discount_parts < 0 || c.discount_parts > share_parts)
    return fail(Errc::invalid_argument, "contract.discount_rate", "must be in [0, 1]");
  if (c.premium_parts < 0 || c.premium_parts > share_parts)
    return fail(Errc::invalid_argument, "contract.premium_rate", "must be in [0, 1]");
  if (c.horizon_ns <= 0) return fail(Errc::invalid_argument, "contract.horizon_hours", "must be above 0");
  if (c.end_unix_ns != 0 && c.end_unix_ns <= c.start_unix_ns)
    return fail(Errc::invalid_argument, "contract.end", "must be after start");
  return {};
}

bool covers(const Contract& contract, int64_t unix_ns) noexcept {
  return unix_ns >= contract.start_unix_ns && (contract.end_unix_ns == 0 || unix_ns < contract.end_unix_ns);
}

Result<int64_t> parts_of(double share, const char* field) {
  if (!(share >= 0 && share <= 1)) return fail(Errc::invalid_argument, field, "must be in [0, 1]");
  return std::llround(share * static_cast<double>(share_parts));
}

Result<int64_t> ns_of_hours(double hours, const char* field) {
  if (!std::isfinite(hours) || hours < 0) return fail(Errc::invalid_argument, field, "must be a number of hours >= 0");
  if (hours > horizon_max_h) return fail(Errc::too_large, field, "over a century");
  return std::llround(hours * ns_per_h);
}

Result<std::vector<Contract>> parse_contracts(std::string_view toml_text, const std::string& file) {
  DROVER_ASSIGN(const toml::table root, parse_toml(toml_text, file));
  TomlProblems problems(file);
  StrictTable top(root, "", problems);
  std::vector<Contract> contracts;
  std::set<std::string> seen;
  const toml::array* tables = top.array("contract");
  if (tables == nullptr) {
    top.problem("contract", "needs at least one [[contract]]");
  } else {
    for (const toml::node& node : *tables) {
      const toml::table* table = node.as_table();
      if (table == nullptr || contracts.size() == contracts_max) {
        problems.add(&node, "contract", table == nullptr ? "must be tables: [[contract]]" : "there are too many");
        break;
      }
      contracts.push_back(read_contract(*table, problems));
      if (!seen.insert(contracts.back().customer_id).second)
        problems.add(&node, "contract.customer_id", "is there twice");
    }
  }
  top.finish();
  DROVER_TRY(problems.status());
  return contracts;
}

Result<std::vector<Contract>> load_contracts(const std::string& path) {
  DROVER_ASSIGN(const std::string text, read_small_file(path));
  return parse_contracts(text, path);
}

}  // namespace drover::econ
