// Conditions: what an episode draws from its seed before it starts. Pure and generic: names come from world.toml.
//
// Every parameter has a stream of its own, named after the world and the parameter, so that adding one leaves the
// draws of the others alone, and the same seed gives the same parameter in every set that has the same range.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "messages/result.hpp"

namespace drover::robot {

struct UniformDraw {
  double low = 0;
  double high = 0;
};
struct ChanceDraw {
  double probability = 0;
};
struct ChoiceDraw {
  std::vector<std::string> texts;
};
using Draw = std::variant<UniformDraw, ChanceDraw, ChoiceDraw>;
using ConditionSet = std::map<std::string, Draw>;

struct Condition {
  std::string world;
  std::string set;  // nominal | hard | ...
  uint64_t seed = 0;
  std::map<std::string, double> numbers;  // chances are 0 or 1
  std::map<std::string, std::string> choices;

  // A number the set does not draw is `otherwise`.
  double number(std::string_view name, double otherwise = 0) const;
  std::string_view choice(std::string_view name, std::string_view otherwise = {}) const;
};

struct DrawRequest {
  std::string_view world;
  std::string_view set;
  uint64_t seed = 0;
};
Condition draw_condition(const ConditionSet& set, const DrawRequest& request);

}  // namespace drover::robot
