#include "smoke/check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "actors/capture/spool.hpp"
#include "actors/semantics/episode_segments.hpp"
#include "actors/semantics/vocabulary.hpp"
#include "actors/sync/audit.hpp"
#include "actors/sync/central_store.hpp"
#include "actors/sync/robot_store.hpp"
#include "storage/datapack_store.hpp"

namespace drover::smoke {
namespace {

using storage::ReadTxn;

constexpr uint32_t read_bytes = 4u << 20;

struct RecordId {
  uint64_t seq = 0;
  Hash hash{};
  bool operator==(const RecordId&) const = default;
};

// One robot's journal, or what the inbox holds of it.
struct Stream {
  std::vector<RecordId> records;
  std::vector<std::string> episodes;  // ids in the order of their records
  std::vector<Event> events;
  std::vector<Enrichment> segments;  // what the robot's own segmenter found
  uint64_t datapacks = 0;
  uint64_t bytes = 0;
};

struct Promise {
  std::string broken;  // first thing that was wrong; empty: it held
  uint64_t wrong = 0;
  void fail_with(const std::string& what) {
    if (wrong++ == 0) broken = what;
  }
  void expect(bool good, const std::string& what) {
    if (!good) fail_with(what);
  }
};

Status take_block(const Block& block, Stream& stream) {
  DROVER_TRY(block.verify_hashes());
  for (size_t i = 0; i < block.count(); ++i) {
    const RecordView record = block.record(i);
    if (!stream.records.empty() && record.seq <= stream.records.back().seq) continue;
    stream.records.push_back({record.seq, record.hash});
    stream.bytes += record.frame.size();
    if (record.kind == RecordKind::datapack) ++stream.datapacks;
    if (record.kind == RecordKind::event) {
      DROVER_ASSIGN(auto event, decode_event(record.payload));
      stream.events.push_back(std::move(event));
    }
    if (record.kind == RecordKind::enrichment) {
      DROVER_ASSIGN(auto said, decode_enrichment(record.payload));
      if (said.source == semantics::robot_segmenter_source) stream.segments.push_back(std::move(said));
    }
    if (record.kind != RecordKind::episode) continue;
    DROVER_ASSIGN(const auto episode, decode_episode(record.payload));
    stream.episodes.push_back(episode.episode_id);
  }
  return {};
}

class Checker {
 public:
  explicit Checker(const CheckInput& input) : in_(input) {}
  Findings run();

 private:
  Status open();
  Status read_journal(size_t robot);
  Status read_inbox(size_t robot);
  Status read_centre(const ReadTxn& txn);
  Status take_pack(ByteView flat);
  Status add_statistics(const ReadTxn& txn);
  Status check_blobs(const ReadTxn& txn, Promise& promise);
  void check_arrival();
  void check_journals();
  void check_order();
  void check_packs();
  Status read_world(const ReadTxn& txn);
  void check_bodies();
  void check_physics();
  void check_segments();
  void check_words(const semantics::EpisodeSegments& found, const semantics::Vocabulary& words, Promise& known);
  void check_applied();
  void check_audit();
  void check_faults();
  void tell(const std::string& name, const Promise& promise, const std::string& held);
  std::string robot_of(const std::string& name) const;

  const CheckInput& in_;
  Findings out_;
  std::unique_ptr<sync::CentralStore> centre_;
  std::vector<Stream> journals_;
  std::vector<uint64_t> incarnations_;
  std::vector<Stream> inboxes_;
  std::vector<Episode> episodes_;
  std::map<std::string, Datapack> packs_;  // by robot, newline, episode id
  std::set<std::string> doubled_packs_;
  Promise readable_;
};

void Checker::tell(const std::string& name, const Promise& promise, const std::string& held) {
  std::string detail = held;
  if (promise.wrong > 0) detail = promise.broken;
  if (promise.wrong > 1) detail += fmt::format(" (and {} more)", promise.wrong - 1);
  out_.checks.push_back({name, promise.wrong == 0, detail});
}

Status Checker::open() {
  sync::CentralStoreOptions options;
  options.path = in_.central_store;
  options.verify = storage::Verify::full;
  DROVER_ASSIGN(centre_, sync::CentralStore::open(options));
  for (size_t i = 0; i < in_.robots.size(); ++i) {
    DROVER_TRY(read_journal(i));
    DROVER_TRY(read_inbox(i));
  }
  return centre_->central_env().read([&](const ReadTxn& txn) { return read_centre(txn); });
}

Status Checker::read_journal(size_t robot) {
  sync::RobotStoreOptions options;
  options.path = in_.robot_stores[robot];
  options.robot = in_.robots[robot];
  options.incarnation = 1;
  options.verify = storage::Verify::full;
  DROVER_ASSIGN(const auto store, sync::RobotStore::open(options));
  incarnations_.push_back(store.identity().incarnation);
  DROVER_ASSIGN(const auto facts, store.facts());
  Stream& stream = journals_.emplace_back();
  for (uint64_t from = std::max<uint64_t>(1, facts.first_seq); from <= facts.last_seq;) {
    DROVER_ASSIGN(const auto read, store.read_block(from, read_bytes));
    if (read.block.empty()) return fail(Errc::corrupt, options.path, fmt::format("no record {}", from));
    DROVER_ASSIGN(const auto block, Block::parse(read.block));
    DROVER_TRY(take_block(block, stream));
    from = read.last_seq + 1;
  }
  out_.records.push_back(stream.records.size());
  out_.journal_bytes += stream.bytes;
  return {};
}

Status Checker::read_inbox(size_t robot) {
  Stream& stream = inboxes_.emplace_back();
  return centre_->inbox_env().read([&](const ReadTxn& txn) -> Status {
    for (uint64_t from = 1;;) {
      DROVER_ASSIGN(const auto blocks,
                    centre_->inbox().read_in(txn, in_.robots[robot], incarnations_[robot], from, read_bytes));
      if (blocks.empty()) break;
      for (const Block& block : blocks) DROVER_TRY(take_block(block, stream));
      from = stream.records.back().seq + 1;
    }
    out_.inbox_bytes += stream.bytes;
    return {};
  });
}

Status Checker::read_centre(const ReadTxn& txn) {
  DROVER_TRY(centre_->episodes().for_each_episode(txn, [&](const Episode& episode) -> Result<bool> {
    episodes_.push_back(episode);
    ++out_.outcomes[episode.outcome];
    for (const EpisodeEvent& event : episode.events) ++out_.events[event.kind][episode.robot];
    return true;
  }));
  DROVER_TRY(centre_->packs().for_each(txn, "", [&](ByteView flat) -> Result<bool> {
    DROVER_TRY(take_pack(flat));
    return true;
  }));
  DROVER_TRY(read_world(txn));
  DROVER_ASSIGN(const auto totals, centre_->blobs().totals_in(txn));
  out_.chunk_bytes = totals.held_bytes;
  return {};
}

Status Checker::take_pack(ByteView flat) {
  DROVER_ASSIGN(auto pack, decode_datapack(flat));
  out_.pack_bytes += flat.size();
  TaskFigures& task = out_.tasks[pack.task_name];
  ++task.packs;
  ++(pack.bucket == Bucket::positive ? task.positive : task.negative);
  task.total_Wh += pack.energy.total_Wh;
  task.delta_J.push_back(pack.attribution.delta_J);
  for (const auto& [joint, metrics] : pack.energy.per_joint)
    if (const auto at = metrics.find("Wh"); at != metrics.end()) out_.joint_Wh[joint] += at->second;
  for (const auto& [skill, metrics] : pack.energy.per_skill)
    if (const auto at = metrics.find("Wh"); at != metrics.end()) out_.skill_Wh[skill] += at->second;
  const std::string key = pack.provenance.robot + "\n" + pack.provenance.episode_id;
  task.hours += static_cast<double>(pack.provenance.end_unix_ns - pack.provenance.start_unix_ns) / 3.6e12;
  if (!packs_.try_emplace(key, std::move(pack)).second) doubled_packs_.insert(key);
  return {};
}

// ---- promises

void Checker::check_arrival() {
  Promise once, content;
  std::map<std::string, const Episode*> arrived;  // by robot and id
  for (const Episode& episode : episodes_) {
    if (is_world_episode(episode)) continue;  // told by check_bodies
    const std::string key = episode.robot + "\n" + episode.episode_id;
    once.expect(arrived.emplace(key, &episode).second, episode.episode_id + " is there twice");
  }
  uint64_t expected = 0, bytes = 0;
  out_.episodes.assign(in_.robots.size(), 0);
  out_.slice_bytes.assign(in_.robots.size(), 0);
  for (const LogFile& file : in_.inputs.files) {
    for (const ExpectedEpisode& want : file.episodes) {
      ++expected;
      bytes += want.slice_bytes;
      const auto at = arrived.find(in_.robots[file.robot] + "\n" + want.episode_id);
      if (at == arrived.end()) {
        once.fail_with(fmt::format("{} of {} did not arrive", want.episode_id, file.name));
        continue;
      }
      const Episode& got = *at->second;
      ++out_.episodes[file.robot];
      out_.slice_bytes[file.robot] += want.slice_bytes;
      content.expect(got.start_unix_ns == want.start_unix_ns && got.rows == want.rows,
                     want.episode_id + " has another start or other rows");
      content.expect(got.blobs.size() == 1 && got.blobs[0].hash == want.slice_hash,
                     want.episode_id + " refers to other raw data");
      arrived.erase(at);
    }
  }
  for (const auto& [key, episode] : arrived) once.fail_with(episode->episode_id + " arrived, but no log holds it");
  tell("every episode arrived exactly once", once,
       fmt::format("{} episodes, counted by reading the {} logs directly", expected, in_.inputs.files.size()));
  tell("every episode is the one in the log", content,
       fmt::format("start, rows and SHA-256 of {:.1f} MB raw data", static_cast<double>(bytes) / 1e6));
}

void Checker::check_journals() {
  Promise same, once;
  uint64_t records = 0;
  for (size_t i = 0; i < in_.robots.size(); ++i) {
    const auto& journal = journals_[i].records;
    const auto& inbox = inboxes_[i].records;
    records += journal.size();
    if (journal.size() != inbox.size())
      same.fail_with(
          fmt::format("{}: {} records in the journal, {} in the inbox", in_.robots[i], journal.size(), inbox.size()));
    for (size_t k = 0; k < std::min(journal.size(), inbox.size()); ++k)
      same.expect(journal[k] == inbox[k], fmt::format("{}: record {} differs", in_.robots[i], journal[k].seq));
    std::set<std::string> seen;
    for (const std::string& id : journals_[i].episodes)
      once.expect(seen.insert(id).second, fmt::format("{}: {} is journaled twice", in_.robots[i], id));
    once.expect(journals_[i].datapacks == journals_[i].episodes.size(),
                fmt::format("{}: {} episodes but {} datapacks in the journal", in_.robots[i],
                            journals_[i].episodes.size(), journals_[i].datapacks));
  }
  tell("journals and inbox hold the same records", same, fmt::format("{} SHA-256 computed again", records));
  tell("a killed robot journals nothing twice", once, "one episode and one datapack record each");
}

void Checker::check_order() {
  Promise order;
  for (size_t i = 0; i < in_.robots.size(); ++i) {
    for (size_t k = 0; k < inboxes_[i].records.size(); ++k)
      order.expect(inboxes_[i].records[k].seq == k + 1,
                   fmt::format("{}: a hole before record {}", in_.robots[i], inboxes_[i].records[k].seq));
    std::map<std::string, size_t> place;
    for (size_t k = 0; k < inboxes_[i].episodes.size(); ++k) place.emplace(inboxes_[i].episodes[k], k);
    for (const LogFile& file : in_.inputs.files) {
      if (file.robot != i) continue;
      size_t before = 0;
      for (const ExpectedEpisode& want : file.episodes) {
        const auto at = place.find(want.episode_id);
        if (at == place.end()) continue;  // told by check_arrival
        order.expect(want.ordinal == file.episodes.front().ordinal || at->second > before,
                     want.episode_id + " came before its predecessor");
        before = at->second;
      }
    }
  }
  tell("order is kept", order, "sequence numbers without holes, episodes in the order of their log");
}

void Checker::check_packs() {
  Promise pairs, sound;
  for (const Episode& episode : episodes_)
    pairs.expect(packs_.contains(episode.robot + "\n" + episode.episode_id), "no datapack of " + episode.episode_id);
  pairs.expect(packs_.size() == episodes_.size(),
               fmt::format("{} datapacks, {} episodes", packs_.size(), episodes_.size()));
  for (const auto& key : doubled_packs_) pairs.fail_with("two datapacks of " + key);
  for (const auto& [key, pack] : packs_)
    if (const auto valid = validate(pack); !valid) sound.fail_with(pack.pack_id + ": " + valid.error().message());
  tell("each episode has its one datapack", pairs, fmt::format("{} datapacks", packs_.size()));
  tell("every datapack keeps its own invariants", sound, "sign and bucket, energy sums, time order, finite numbers");
}

// Mean and population deviation, two passes.
std::pair<double, double> mean_and_std(const std::vector<double>& values) {
  if (values.empty()) return {0, 0};
  double sum = 0, squares = 0;
  for (const double v : values) sum += v;
  const double mean = sum / static_cast<double>(values.size());
  for (const double v : values) squares += (v - mean) * (v - mean);
  return {mean, std::sqrt(squares / static_cast<double>(values.size()))};
}

bool close_to(double a, double b) {
  return std::abs(a - b) <= 1e-9 * std::max({1.0, std::abs(a), std::abs(b)});
}

Status Checker::add_statistics(const ReadTxn& txn) {
  Promise promise;
  for (const auto& [name, task] : out_.tasks) {
    DROVER_ASSIGN(const auto kept, centre_->packs().statistics(txn, name));
    double trust = 0;
    uint64_t counterfactuals = 0;
    std::set<int64_t> skills;
    for (const auto& [key, pack] : packs_) {
      if (pack.task_name != name) continue;
      trust += pack.attribution.trust_score;
      if (!pack.counterfactual_plan_json.empty()) ++counterfactuals;
      for (const SkillStep& step : pack.skill_trace) skills.insert(step.skill_id);
    }
    const auto [mean, deviation] = mean_and_std(task.delta_J);
    promise.expect(kept.total == task.packs && kept.positive == task.positive && kept.negative == task.negative,
                   name + ": counts differ");
    promise.expect(close_to(kept.delta_j_mean, mean) && close_to(kept.delta_j_std, deviation), name + ": dJ differs");
    promise.expect(close_to(kept.trust_mean, trust / static_cast<double>(task.packs)), name + ": trust differs");
    promise.expect(kept.with_counterfactual == counterfactuals, name + ": counterfactuals differ");
    promise.expect(std::set<int64_t>(kept.unique_skills.begin(), kept.unique_skills.end()) == skills,
                   name + ": skills differ");
  }
  if (const auto indexes = centre_->packs().verify(txn); !indexes) promise.fail_with(indexes.error().message());
  tell("statistics and indexes equal a recount", promise, fmt::format("{} tasks, every index row", out_.tasks.size()));
  Promise rejected;
  DROVER_ASSIGN(const auto counts, centre_->episodes().counts(txn));
  if (counts.rejected > 0) {
    DROVER_ASSIGN(const auto list, centre_->episodes().rejected(txn, 1));
    rejected.fail_with(fmt::format("{} records, the first: {}", counts.rejected, list.front().reason));
  }
  tell("no record was rejected", rejected, "none set aside");
  return {};
}

Status Checker::check_blobs(const ReadTxn& txn, Promise& promise) {
  std::set<Hash> receipts;
  DROVER_TRY(centre_->episodes().for_each_receipt(txn, [&](const Receipt& receipt) -> Result<bool> {
    receipts.insert(receipt.hash);
    return true;
  }));
  for (const Episode& episode : episodes_) {
    for (const BlobRef& blob : episode.blobs) {
      const bool given_up = std::any_of(blob.chunks.begin(), blob.chunks.end(),
                                        [&](const ChunkRef& chunk) { return receipts.contains(chunk.hash); });
      const auto whole = centre_->blobs().stream_in(txn, blob, [](ByteView) -> Status { return {}; });
      if (!whole && !given_up) promise.fail_with(blob.name + ": " + whole.error().message());
    }
  }
  return {};
}

// ---- physics episodes

Status Checker::read_world(const ReadTxn& txn) {
  for (const Episode& episode : episodes_) {
    if (!is_world_episode(episode)) continue;
    DROVER_ASSIGN(auto world, read_world_episode(centre_->blobs(), txn, episode));
    const auto pack = packs_.find(episode.robot + "\n" + episode.episode_id);
    if (pack != packs_.end()) add_pack(pack->second, world);
    out_.world.push_back(std::move(world));
  }
  std::stable_sort(out_.world.begin(), out_.world.end(), [](const WorldEpisode& a, const WorldEpisode& b) {
    return std::tie(a.robot, a.seed) < std::tie(b.robot, b.seed);
  });
  return {};
}

// Every episode that was begun: a recording that arrived, or an event that says why there is none.
void Checker::check_bodies() {
  Promise there;
  uint64_t whole = 0, prefixes = 0, told = 0;
  for (const BodyPlan& plan : in_.bodies) {
    const std::string& robot = in_.robots[plan.robot];
    uint64_t cut = 0;
    for (uint64_t ordinal = 0; ordinal < plan.episodes; ++ordinal) {
      const std::string what = fmt::format("{}: episode {} (seed {})", robot, ordinal, plan.seed + ordinal);
      const auto count = std::count_if(out_.world.begin(), out_.world.end(), [&](const WorldEpisode& e) {
        return e.robot == robot && e.seed == plan.seed + ordinal;
      });
      const auto& events = inboxes_[plan.robot].events;
      const bool explained = std::any_of(events.begin(), events.end(), [&](const Event& event) {
        return event.subject.starts_with(fmt::format("{:08}-", ordinal));
      });
      told += count == 0 && explained ? 1 : 0;
      there.expect(count == 1 || (count == 0 && explained), fmt::format("{} arrived {} times", what, count));
    }
    for (const WorldEpisode& e : out_.world)
      if (e.robot == robot) (e.complete ? whole : cut)++;
    const auto& order = inboxes_[plan.robot].episodes;
    size_t before = 0;
    for (const WorldEpisode& e : out_.world) {  // by seed
      if (e.robot != robot) continue;
      const auto place = static_cast<size_t>(std::find(order.begin(), order.end(), e.episode_id) - order.begin());
      there.expect(place >= before, e.episode_id + " came before its predecessor");
      before = place;
    }
    const uint64_t kills = plan.robot == 1 ? in_.course.kills : 0;  // robot B
    there.expect(cut <= kills, fmt::format("{}: {} prefixes but {} kills", robot, cut, kills));
    prefixes += cut;
  }
  out_.world_explained = told;
  for (const WorldEpisode& e : out_.world)
    there.expect(e.complete || !e.reason.empty(), e.episode_id + " is a prefix and does not say why");
  tell("every physics episode is whole, or a labelled prefix", there,
       fmt::format("{} whole, {} cut by the kill, {} lost with an event that says so", whole, prefixes, told));
}

// What arrived is what the same seeds give without any runtime around them.
void Checker::check_physics() {
  Promise same;
  if (!in_.runs) same.fail_with(in_.runs.error().message());
  double work_J = 0;
  for (const WorldEpisode& e : out_.world) {
    work_J += e.work_J;
    const ExpectedRun* run = nullptr;
    for (size_t i = 0; in_.runs && i < in_.runs->size(); ++i)
      if (in_.robots[(*in_.runs)[i].robot] == e.robot && (*in_.runs)[i].seed == e.seed) run = &(*in_.runs)[i];
    if (run == nullptr) {
      same.fail_with(e.episode_id + ": nobody asked for seed " + std::to_string(e.seed));
      continue;
    }
    if (e.complete) {
      same.expect(e.hash == run->hash, e.episode_id + ": other physics");
      same.expect(e.kind == run->kind && e.skills == run->skills && e.events == run->events,
                  e.episode_id + ": other skills or events");
    }
    same.expect(e.complete ? e.duration_s == run->duration_s && e.work_J == run->work_J
                           : e.duration_s <= run->duration_s && e.work_J <= run->work_J,
                e.episode_id + ": other duration or energy");
    same.expect(e.packed && std::abs(e.pack_J - e.work_J) <= 1e-6 * std::max(1.0, e.work_J),
                e.episode_id + ": its datapack has another energy");
  }
  tell("physics episodes equal an independent run of their seeds", same,
       fmt::format("states, skills, events and {:.1f} J to the bit", work_J));
}

// ---- segments

// Nothing that only this robot understands.
void Checker::check_words(const semantics::EpisodeSegments& found, const semantics::Vocabulary& words, Promise& known) {
  using semantics::TermKind;
  const std::string& id = found.episode.id;
  for (const semantics::Segment& s : found.segments) {
    known.expect(bool(words.find(TermKind::action, semantics::label_name(s.label))),
                 fmt::format("{}: {} is no action", id, semantics::label_name(s.label)));
    known.expect(s.reason == semantics::Reason::none || words.find(TermKind::failure, semantics::reason_name(s.reason)),
                 fmt::format("{}: {} is no failure", id, semantics::reason_name(s.reason)));
  }
  for (const semantics::ObjectInfo& thing : found.episode.objects)
    known.expect(bool(words.find(TermKind::object, thing.category)),
                 fmt::format("{}: {} is no object", id, thing.category));
  for (const std::string& word : found.words)
    known.expect(word.starts_with("ood:") || word.starts_with("recovery:"), fmt::format("{}: {}", id, word));
}

// Counted from the slices by the inputs' own account, and from the recordings of the physics.
void Checker::check_segments() {
  Promise there, known;
  const auto words = semantics::Vocabulary::load(in_.vocabulary);
  if (!words) known.fail_with(words.error().message());
  std::map<std::string, uint64_t> frames;  // by robot and episode, of the records at the centre
  for (size_t i = 0; i < in_.robots.size(); ++i) {
    for (const Enrichment& said : inboxes_[i].segments) {
      const auto found = semantics::parse_segments(said.tags_json);
      if (!found) {
        there.fail_with(said.pack_id + ": " + found.error().message());
        continue;
      }
      const std::string key = in_.robots[i] + "\n" + found->episode.id;
      const auto pack = packs_.find(key);
      there.expect(pack != packs_.end() && pack->second.pack_id == said.pack_id,
                   found->episode.id + ": its segments are of another datapack");
      there.expect(frames.emplace(key, found->frames).second, found->episode.id + " has segments twice");
      there.expect(!found->segments.empty(), found->episode.id + " has no segments");
      out_.segments += found->segments.size();
      if (words) check_words(*found, *words, known);
    }
  }
  const auto expect = [&](const std::string& key, const std::string& id, std::optional<uint64_t> count) {
    const auto at = frames.find(key);
    if (at == frames.end()) return there.expect(count == 0, id + " has frames, but no segments");
    there.expect(!count || at->second == *count, fmt::format("{}: segments of {} frames", id, at->second));
  };
  for (const LogFile& file : in_.inputs.files)
    for (const ExpectedEpisode& want : file.episodes)
      expect(in_.robots[file.robot] + "\n" + want.episode_id, want.episode_id, want.frames);
  for (const WorldEpisode& e : out_.world)
    if (e.complete) expect(e.robot + "\n" + e.episode_id, e.episode_id, std::nullopt);
  tell("every episode that shows motion has its robot's segments", there,
       fmt::format("{} episodes, {} segments; frames counted from the slices", frames.size(), out_.segments));
  tell("segments speak the vocabulary", known, "actions, failures, objects and tags");
}

void Checker::check_applied() {
  Promise applied;
  for (size_t i = 0; i < in_.robots.size(); ++i) {
    const auto seq = centre_->applied_seq({in_.robots[i], incarnations_[i]});
    const uint64_t durable = inboxes_[i].records.empty() ? 0 : inboxes_[i].records.back().seq;
    if (!seq)
      applied.fail_with(seq.error().message());
    else
      applied.expect(*seq == durable, fmt::format("{}: {} of {} applied", in_.robots[i], *seq, durable));
  }
  tell("everything durable was applied", applied, "watermark equals the end of each stream");
}

// What the spool's marks claim, as the audit wants it.
std::optional<sync::SourceClaim> read_claim(std::string_view key, std::string_view value) {
  if (!key.starts_with("spool/")) return std::nullopt;
  const auto mark = capture::decode_mark(as_bytes(value));
  if (!mark) return sync::SourceClaim{"unreadable mark", 0, true, true};
  return sync::SourceClaim{mark->file.name, mark->next_ordinal, mark->state != capture::MarkState::taking,
                           mark->state == capture::MarkState::quarantined};
}

// The same audit that `drover audit` runs: a second opinion, by other code than these checks.
void Checker::check_audit() {
  Promise balanced;
  sync::AuditOptions options;
  options.read_claim = read_claim;
  const auto audit = sync::audit_folders({in_.central_store, in_.robot_stores}, options);
  if (!audit) {
    balanced.fail_with(audit.error().message());
  } else if (!audit->balanced()) {
    const sync::Violation& first = audit->violations.front();
    balanced.fail_with(first.check + ": " + first.where + ": " + first.what);
    balanced.wrong = audit->violations_in_all;
  }
  tell("drover audit balances", balanced,
       fmt::format("{} records, {} chunks", audit ? audit->centre.records : 0, audit ? audit->centre.chunks : 0));
}

void Checker::check_faults() {
  Promise faults, errors, files;
  faults.expect(in_.course.kills == 1 && in_.course.cuts == 1 && in_.course.coordinator_kills == 1,
                in_.trouble.empty() ? "a fault did not take place" : in_.trouble);
  tell("the faults took place", faults, "robot killed, link cut, coordinator killed; all came back");
  Promise drained;
  drained.expect(in_.drained, in_.trouble);
  tell("everything drained and stopped in order", drained, fmt::format("after {:.1f} s", in_.course.drained_s));
  uint64_t repeated = 0, settled_repeated = 0, set_aside = 0;
  for (const LogFile& file : in_.inputs.files) repeated += file.repeated ? 1 : 0;
  for (const RobotView& robot : in_.course.last.robots) {
    settled_repeated += robot.files_repeated;
    set_aside += robot.files_set_aside;
  }
  files.expect(set_aside == 0, fmt::format("{} logs were set aside", set_aside));
  files.expect(settled_repeated == repeated,
               fmt::format("{} repeated logs were noticed, not {}", settled_repeated, repeated));
  tell("each log was taken once", files, fmt::format("{} repeated contents noticed, none set aside", repeated));
  errors.expect(in_.error_lines == 0, in_.first_error);
  errors.wrong = in_.error_lines;
  tell("no error was logged", errors, "errors are for humans; faults of the network and of power are not");
}

Findings Checker::run() {
  if (const Status opened = open(); !opened) {
    readable_.fail_with(opened.error().message());
    tell("the stores can be read after the run", readable_, "");
    check_faults();
    return out_;
  }
  tell("the stores can be read after the run", readable_, "every page and every value checked");
  check_arrival();
  check_journals();
  check_order();
  check_packs();
  if (!in_.bodies.empty()) {
    check_bodies();
    check_physics();
  }
  check_segments();
  check_applied();
  Promise blobs;
  const Status rest = centre_->central_env().read([&](const ReadTxn& txn) -> Status {
    DROVER_TRY(check_blobs(txn, blobs));
    return add_statistics(txn);
  });
  if (!rest) blobs.fail_with(rest.error().message());
  tell("all raw data is at the centre, or a receipt says why not", blobs,
       fmt::format("{:.1f} MB, every blob hashed again", static_cast<double>(out_.chunk_bytes) / 1e6));
  centre_.reset();  // the audit opens the stores itself
  check_audit();
  check_faults();
  return out_;
}

}  // namespace

Findings check(const CheckInput& input) {
  return Checker(input).run();
}

Status drop_one_pack(const std::string& central_store) {
  storage::EnvOptions options;
  options.path = central_store + "/central";
  options.databases = storage::DatapackStore::databases();
  DROVER_ASSIGN(auto env, storage::Env::open(options));
  return env.write([&](storage::WriteTxn& txn) -> Status {
    const storage::Db data = env.db(storage::DatapackStore::databases().front());
    std::vector<std::byte> key;
    {
      auto cursor = txn.cursor(data);
      DROVER_ASSIGN(const bool found, cursor.first());
      if (!found) return fail(Errc::not_found, central_store, "holds no datapack to drop");
      key.assign(cursor.key().begin(), cursor.key().end());
    }
    DROVER_ASSIGN(const bool erased, txn.erase(data, key));
    return erased ? Status{} : fail(Errc::internal, central_store, "the datapack was not erased");
  });
}

}  // namespace drover::smoke
