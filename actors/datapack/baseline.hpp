// Baselines: what an episode is compared with, per (task_name, source_kind).
//
// A rule comes from configuration; the state is a small value that grows with the episodes and that the store keeps
// (to_json / baseline_state_from_json). Deterministic: the same episodes in the same order give the same state, bit
// for bit, also when the state went through JSON in between.
//
// Methods
// - fixed:   the three values come from the rule and never move. A missing or zero MPL (or EP, when the episode's
//            energy was measured) is an error.
// - first_n: the mean of the first n episodes; from then on it does not move.
// - ewma:    b <- a*x + (1-a)*b, starting at the first episode.
// Running methods (first_n, ewma) compare an episode with the state before it, then take it in. A component that no
// earlier episode established is the episode's own value: its delta is 0 and the pack says "self". Episodes with
// zero MPL (or zero EP) do not move that component: a failed episode must not lower the bar, and a baseline that
// divides is therefore above zero whenever it is established. Error rates always count.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "actors/econ/objective.hpp"
#include "messages/result.hpp"

namespace drover::datapack {

enum class BaselineMethod : uint8_t { fixed, first_n, ewma };
std::string_view baseline_method_name(BaselineMethod method) noexcept;  // "fixed" | "first_n" | "ewma"

struct BaselineRule {
  std::string task_name = "*";    // "*": any
  std::string source_kind = "*";  // "*": any
  BaselineMethod method = BaselineMethod::ewma;
  double a = 0.1;         // ewma: weight of the new episode, (0, 1]
  int64_t episodes = 20;  // first_n: n, 1 to 1'000'000
  econ::Reference fixed;  // fixed: the values
};

struct BaselineComponent {
  double value = 0;
  uint64_t count = 0;  // episodes taken in; 0: not established
  bool operator==(const BaselineComponent&) const = default;
};

struct BaselineState {
  BaselineComponent mpl_units_per_h;
  BaselineComponent error_rate;
  BaselineComponent ep_units_per_Wh;
  uint64_t episodes = 0;  // all episodes seen
  bool operator==(const BaselineState&) const = default;
};

struct Baseline {
  BaselineRule rule;
  BaselineState state;
};

// The values to compare `episode` with, and which of them are the episode's own ("mpl", "error", "ep").
struct ResolvedBaseline {
  econ::Reference reference;
  bool self_mpl = false;
  bool self_error = false;
  bool self_ep = false;
};
ResolvedBaseline resolve(const Baseline& baseline, const econ::Performance& episode);

// The state after `episode` was taken in. Store it in the same transaction as the episode's datapack.
BaselineState advance(const Baseline& baseline, const econ::Performance& episode);

// One JSON object; numbers keep all their bits.
std::string to_json(const BaselineState& state);
// Error invalid_argument: not JSON, a missing or unknown key, a value that is not finite or is negative.
Result<BaselineState> baseline_state_from_json(std::string_view text);

// The key under which a store keeps a state: task_name, 0x1f, source_kind.
std::string baseline_key(std::string_view task_name, std::string_view source_kind);

// Rules of a node. The most specific rule wins: (task, kind), (task, *), (*, kind), (*, *), then the default rule
// (ewma, a = 0.1).
class BaselineRules {
 public:
  BaselineRules() = default;
  explicit BaselineRules(std::vector<BaselineRule> rules) : rules_(std::move(rules)) {}
  BaselineRule find(std::string_view task_name, std::string_view source_kind) const;
  const std::vector<BaselineRule>& rules() const { return rules_; }

 private:
  std::vector<BaselineRule> rules_;
};

// Parses configs/baselines/*.toml: a list of [[baseline]] tables. Error invalid_argument with every problem
// ("file:line: key: what"). `file` is used in messages only.
Result<BaselineRules> parse_baselines(std::string_view toml_text, const std::string& file);
// Errors: not_found, io, too_large, invalid_argument.
Result<BaselineRules> load_baselines(const std::string& path);

}  // namespace drover::datapack
