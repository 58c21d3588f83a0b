#include "actors/robot/condition.hpp"

#include "actors/runtime/rng.hpp"

namespace drover::robot {

double Condition::number(std::string_view name, double otherwise) const {
  const auto it = numbers.find(std::string(name));
  return it == numbers.end() ? otherwise : it->second;
}

std::string_view Condition::choice(std::string_view name, std::string_view otherwise) const {
  const auto it = choices.find(std::string(name));
  return it == choices.end() ? otherwise : std::string_view(it->second);
}

Condition draw_condition(const ConditionSet& set, const DrawRequest& request) {
  Condition out;
  out.world = request.world;
  out.set = request.set;
  out.seed = request.seed;
  for (const auto& [name, draw] : set) {
    runtime::Rng rng = runtime::Rng::stream(request.seed, out.world + "/" + name);
    if (const auto* uniform = std::get_if<UniformDraw>(&draw))
      out.numbers[name] = uniform->low + (uniform->high - uniform->low) * rng.uniform();
    else if (const auto* chance = std::get_if<ChanceDraw>(&draw))
      out.numbers[name] = rng.chance(chance->probability) ? 1.0 : 0.0;
    else if (const auto* choice = std::get_if<ChoiceDraw>(&draw))
      out.choices[name] = choice->texts[rng.below(choice->texts.size())];
  }
  return out;
}

}  // namespace drover::robot
