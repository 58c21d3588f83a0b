// Primitives: one per segment, honest about doubt, mapped through the ontology's door. Also the extraction scenario.
#include "actors/semantics/primitive.hpp"

#include <doctest/doctest.h>

#include <set>
#include <string>

#include "actors/semantics/segmenter.hpp"
#include "actors/semantics/sima_template.hpp"

namespace drover::semantics {
namespace {

class Concepts final : public ConceptLookup {
 public:
  std::optional<Match> closest(const Primitive& p) const override {
    if (p.object_category == "drawer") return Match{"object:drawer", 0.9};
    if (p.object_category == "dish") return Match{"object:dish", 0.3};
    return std::nullopt;
  }
};

std::vector<Primitive> extract(const Rollout& rollout, const PrimitiveConfig& config, const ConceptLookup* concepts) {
  Segmenter segmenter({});
  std::vector<Segment> segments;
  segment_rollout(segmenter, rollout, segments);
  const auto primitives = extract_primitives(rollout, segments, config, concepts);
  REQUIRE(primitives.size() == segments.size());
  for (size_t i = 0; i < segments.size(); ++i) {
    CHECK(primitives[i].id == segment_key(rollout.id, segments[i].id));
    REQUIRE(primitives[i].evidence.size() == 1);
    CHECK(primitives[i].evidence[0] == Evidence{rollout.id, segments[i].id, segments[i].start_s, segments[i].end_s});
    CHECK(primitives[i].label == segments[i].label);
    CHECK(primitives[i].confidence == doctest::Approx(static_cast<double>(segments[i].confidence)));
  }
  return primitives;
}

}  // namespace

TEST_CASE("semantics/primitive: types follow what a segment teaches") {
  Rollout r;
  r.id = "r";
  r.objects = {{"handle", "drawer", "", "", "", true}};
  std::vector<Segment> segments(4);
  for (uint32_t i = 0; i < 4; ++i) segments[i].id = i;
  segments[0].label = Label::pull;
  segments[0].object = 0;
  segments[1].label = Label::pull;
  segments[1].object = 0;
  segments[1].outcome = Outcome::failure;
  segments[1].reason = Reason::locked;
  segments[2].label = Label::slip;
  segments[2].outcome = Outcome::failure;
  segments[2].reason = Reason::drop;
  segments[3].label = Label::idle;
  segments[3].object = 0;
  const auto p = extract_primitives(r, segments, {});
  CHECK(p[0].type == PrimitiveType::action);
  CHECK(p[0].name == "pull_drawer");
  CHECK(p[1].type == PrimitiveType::constraint);
  CHECK(p[1].name == "locked_drawer");
  CHECK(p[2].type == PrimitiveType::relation);
  CHECK(p[2].name == "drop");
  CHECK(p[3].type == PrimitiveType::object);
  CHECK(p[3].name == "see_drawer");
}

TEST_CASE("semantics/primitive: below the threshold it is ambiguous, at it it is not") {
  Rollout r;
  std::vector<Segment> segments(2);
  segments[0].confidence = 0.5F;
  segments[1].confidence = 0.75F;
  const auto p = extract_primitives(r, segments, {0.75, 0.5});
  CHECK(p[0].ambiguous);
  CHECK(!p[1].ambiguous);
}

TEST_CASE("semantics/primitive: an object that is not in the scene is nobody's") {
  Rollout r;
  std::vector<Segment> segments(1);
  segments[0].object = 9;
  CHECK(extract_primitives(r, segments, {})[0].object_name.empty());
}

TEST_CASE("semantic_extraction: rollouts of every family become primitives, mapped where the ontology knows them") {
  TemplateLibrary library({});
  LabelledRollout r;
  const Concepts concepts;
  std::set<std::string> names;
  size_t all = 0, ambiguous = 0, mapped = 0;
  for (size_t f = 0; f < family_count; ++f)
    for (uint64_t i = 0; i < 20; ++i) {
      library.make(static_cast<Family>(f), i, r);
      for (const Primitive& p : extract(r.rollout, {}, &concepts)) {
        ++all;
        ambiguous += p.ambiguous;
        mapped += p.concept_id.has_value();
        CHECK(p.concept_id.has_value() == (p.object_category == "drawer"));
        names.insert(p.name);
      }
    }
  CHECK(all > 1000);
  CHECK(mapped > 50);
  CHECK(ambiguous < all / 5);
  for (const char* name : {"pull_drawer", "grasp_dish", "locked_drawer", "collision_part", "push_tool", "lift_part"})
    CHECK_MESSAGE(names.count(name) == 1, std::string(name));
}

}  // namespace drover::semantics
