// Plans: which family's rollout goes how. A draw of the scene, then the script of one of the four templates. Pure.
#pragma once

#include <string>
#include <vector>

#include "actors/runtime/rng.hpp"
#include "actors/semantics/rollout.hpp"
#include "actors/semantics/template_script.hpp"

namespace drover::semantics {

// What the batch decides about one rollout before anything is drawn.
struct PlanRequest {
  Family family = Family::drawer_open;
  Template kind = Template::success;
  uint32_t geometry = 0;      // 0..2
  uint32_t friction = 0;      // low, medium, high
  uint32_t mass = 0;          // light, heavy
  uint32_t trouble = 0;       // which of the family's ways to fail, modulo their number
  bool risky = false;         // fast, and close to something fragile
  bool slow_stretch = false;  // out of distribution in time: something takes far too long
  bool rushed = false;        // out of distribution in motion: far beyond usual speed
};

struct Plan {
  Script script;
  std::vector<ObjectInfo> objects;
  std::string failure;   // the family's word
  std::string recovery;  // the family's word
  double risk = 0;
  double fragility = 0;
  bool damage = false;
};

// The words for how a family fails and what repairs it, in the order of PlanRequest::trouble.
struct TroubleWords {
  std::string_view failure;
  std::string_view recovery;
};
std::vector<TroubleWords> troubles_of(Family family);

Plan make_plan(const PlanRequest& request, runtime::Rng& rng);

}  // namespace drover::semantics
