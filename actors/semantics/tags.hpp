// Tags: what an episode means, as closed kinds of typed tags, with the conflicts among them. Pure values.
//
// Everything here is advice about data: it changes which data is sampled, reviewed or taught, never what it is worth.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "actors/semantics/segment.hpp"

namespace drover::semantics {

class JsonText;

enum class TagKind : uint8_t { fragility, risk, affordance, efficiency, novelty, intervention, ood, recovery };
inline constexpr size_t tag_kind_count = 8;
// "FragilityTag", "RiskTag", "AffordanceTag", "EfficiencyTag", "NoveltyTag", "InterventionTag", "OODTag",
// "RecoveryTag".
std::string_view tag_kind_name(TagKind kind) noexcept;
std::optional<TagKind> tag_kind_from(std::string_view name) noexcept;

enum class Level : uint8_t { low, medium, high, critical };
std::string_view level_name(Level level) noexcept;

enum class OodSource : uint8_t { visual, kinematic, temporal };
std::string_view ood_source_name(OodSource source) noexcept;

struct FragilityTag {
  std::string object;   // term
  std::string failure;  // term
  double severity = 0;  // 0..1
};
struct RiskTag {
  Level level = Level::high;  // high or critical: less is no tag
  double score = 0;           // 0..1
  std::string object;         // what was at risk
  std::string why;
  uint32_t segment = 0;
};
struct AffordanceTag {
  std::string object;
  std::string affordance;
  double confidence = 0;
};
struct EfficiencyTag {
  double energy_Wh = 0;
  double expected_Wh = 0;
  bool wasteful = false;  // otherwise frugal; typical episodes have no tag
};
struct NoveltyTag {
  double score = 0;  // 0..1
  std::string what;  // "object:cup", "pair:pull/vase"
};
struct InterventionTag {
  std::string kind;  // "protective_stop", "grip_lost"
  double at_s = 0;
  uint32_t segment = 0;
};
struct OodTag {
  double severity = 0;  // 0..1
  OodSource source = OodSource::visual;
  std::string details;
  uint32_t segment = 0;
};
struct RecoveryTag {
  Level value_add = Level::low;  // low | medium | high
  std::string correction_type;   // Vocabulary::correction_of
  double cost_Wh = 0;
  bool cost_estimated = false;  // no power was measured
  std::string failure;          // term
  std::string object;           // term; may be empty
  std::string recovery;         // term
  Level failure_level = Level::low;
  uint32_t failed_segment = 0;
  uint32_t success_segment = 0;
  uint32_t steps = 0;  // segments from the failure to the success
};
struct TagConflict {
  std::string kept;
  std::string dropped;
  std::string why;
};

enum class CurriculumStage : uint8_t { warmup, skill_building, frontier, fine_tuning };
std::string_view curriculum_stage_name(CurriculumStage stage) noexcept;

struct SupervisionHints {
  bool safety_critical = false;
  CurriculumStage stage = CurriculumStage::warmup;
  std::vector<std::string> prerequisites;  // "graspable:handle": what must be mastered first; sorted
};

struct TagSet {
  std::vector<FragilityTag> fragility;
  std::vector<RiskTag> risk;
  std::vector<AffordanceTag> affordance;
  std::vector<EfficiencyTag> efficiency;
  std::vector<NoveltyTag> novelty;
  std::vector<InterventionTag> intervention;
  std::vector<OodTag> ood;
  std::vector<RecoveryTag> recovery;
  std::vector<std::string> marks;  // terms of kind tag for the whole episode: lucky, doom_loop ...; sorted
  std::vector<TagConflict> conflicts;

  bool has(TagKind kind) const;
  bool high_risk() const;
  double ood_severity() const;  // worst; 0: none
  bool marked(std::string_view mark) const;
  void mark(std::string_view term);
  // Short forms for datapack tag lists and sampling: "risk:high", "fragile:vase", "recovery:high", "ood:visual" ...
  std::vector<std::string> words() const;
  void write(JsonText& out) const;  // one object
};

// How bad a failure of this kind is. `risky`: it happened to something fragile or of high risk.
Level failure_level(Reason reason, bool risky) noexcept;

void write(JsonText& out, const SupervisionHints& hints);

}  // namespace drover::semantics
