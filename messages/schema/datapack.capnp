@0xa4c2e7715b90de01;
# The valued record of one episode. domain.md 2. Every float is finite. JSON-valued Text fields hold
# one JSON object kept verbatim (empty text: absent).

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("drover::schema");

enum Bucket { positive @0; negative @1; }
enum SourceType { real @0; synthetic @1; hybrid @2; }

struct Metric { name @0 :Text; value @1 :Float64; }
struct NamedMetrics { name @0 :Text; metrics @1 :List(Metric); }  # e.g. {"joint_0": {"Wh": 0.1}}

struct Provenance {
  # Where the record came from; set by the node that captured it.
  robot @0 :Text;             # node id of the robot
  episodeId @1 :Text;
  startUnixNs @2 :Int64;      # capture clock
  endUnixNs @3 :Int64;
  source @4 :Text;            # for logs: mapping name and file name
}

struct Condition {
  taskName @0 :Text;
  engineType @1 :Text;        # pybullet | isaac | ue5 | mujoco | real
  worldId @2 :Text;
  vaseOffsetM @3 :List(Float64);      # 3 values [m]
  drawerFriction @4 :Float64;
  lightingProfile @5 :Text;
  occlusionLevel @6 :Float64;         # 0..1
  econPreset @7 :Text;
  pricePerUnit @8 :Float64;           # [$]
  vaseBreakCost @9 :Float64;          # [$]
  energyPriceKWh @10 :Float64;        # [$ per kWh]
  objectiveVector @11 :List(Float64); # [mpl, error, ep, safety]
  tagsJson @12 :Text;
  extraJson @13 :Text;                # unknown fields of this object
}

struct SkillContribution { skillId @0 :Int64; metrics @1 :List(Metric); }

struct Attribution {
  deltaMpl @0 :Float64;       # relative
  deltaError @1 :Float64;     # absolute
  deltaEp @2 :Float64;        # relative
  deltaJ @3 :Float64;
  trustScore @4 :Float64;     # 0..1
  wEcon @5 :Float64;
  lambdaBudget @6 :Float64;
  sourceType @7 :SourceType;
  wmModelId @8 :Text;         # empty: absent
  hasWmHorizonUsed @9 :Bool;
  wmHorizonUsed @10 :Int64;
  hasWmBranchDepth @11 :Bool;
  wmBranchDepth @12 :Int64;
  hasWmTrustOverHorizon @13 :Bool;
  wmTrustOverHorizon @14 :List(Float64);
  hasMvdScore @15 :Bool;
  mvdScore @16 :Float64;
  hasEconWeightFinal @17 :Bool;
  econWeightFinal @18 :Float64;
  usedInTrainingRuns @19 :List(Text);
  wmRole @20 :Text;           # empty: absent; wm_train | wm_eval | wm_synth_source | wm_synth_target
  skillContribs @21 :List(SkillContribution);
  extraJson @22 :Text;
}

struct Energy {
  totalWh @0 :Float64;
  whPerUnit @1 :Float64;
  whPerHour @2 :Float64;
  perLimb @3 :List(NamedMetrics);
  perSkill @4 :List(NamedMetrics);
  perJoint @5 :List(NamedMetrics);
  perEffector @6 :List(NamedMetrics);
  coordination @7 :List(Metric);
  limbEnergyWh @8 :List(Metric);      # legacy
  skillEnergyWh @9 :List(Metric);     # legacy
  extraJson @10 :Text;
}

struct SkillStep {
  skillId @0 :Int64;
  startS @1 :Float64;         # seconds since episode start
  endS @2 :Float64;
  outcome @3 :Text;
  extraJson @4 :Text;
}

struct SimaAnnotation {
  instruction @0 :Text;
  stepNarrations @1 :List(Text);
  simaAgentId @2 :Text;
  sourceWorld @3 :Text;
  derivedSkillPlan @4 :List(Int64);
  extraJson @5 :Text;
}

struct Datapack {
  schemaVersion @0 :Text;     # 2.0-energy | 2.1-portable
  packId @1 :Text;
  taskName @2 :Text;
  envType @3 :Text;
  brickId @4 :Text;           # empty: absent
  bucket @5 :Bucket;
  semanticTags @6 :List(Text);
  energyDriverTags @7 :List(Text);
  provenance @8 :Provenance;
  condition @9 :Condition;
  attribution @10 :Attribution;
  energy @11 :Energy;
  agentProfileJson @12 :Text;
  episodeMetricsJson @13 :Text;
  skillTrace @14 :List(SkillStep);
  simaAnnotation @15 :SimaAnnotation; # absent when null
  vlaPlanJson @16 :Text;
  counterfactualPlanJson @17 :Text;
  counterfactualSource @18 :Text;     # empty: absent
  sceneTracksJson @19 :Text;          # scene_tracks_v1, 2.1-portable
  rgbFeaturesJson @20 :Text;          # rgb_features_v1
  sliceLabelsJson @21 :Text;          # slice_labels_v1
  rawDataPath @22 :Text;              # empty: null
  extraJson @23 :Text;                # unknown fields of the record
}
