#include "actors/semantics/central_semantics.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "actors/semantics/json_read.hpp"
#include "actors/semantics/json_text.hpp"
#include "actors/sync/own_stream.hpp"
#include "messages/check.hpp"

namespace drover::semantics {
namespace {

constexpr std::string_view format_name = "drover.central_semantics.v2";
constexpr std::string_view format_before = "drover.central_semantics.v1";  // learnt anew
constexpr int read_attempts = 5;

Result<std::string> read_whole(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(Errc::not_found, path, "is not there");
  std::ostringstream text;
  text << in.rdbuf();
  if (in.bad()) return fail(Errc::io, path, "cannot be read");
  return std::move(text).str();
}

}  // namespace

double CentralCosts::write_amplification() const {
  if (record_bytes == 0) return 1;
  return static_cast<double>(record_bytes + log_bytes + checkpoint_bytes) / static_cast<double>(record_bytes);
}

Result<std::unique_ptr<CentralSemantics>> CentralSemantics::open(const CentralSemanticsOptions& options) {
  std::unique_ptr<CentralSemantics> out(new CentralSemantics(options));
  DROVER_ASSIGN(Vocabulary vocabulary, Vocabulary::load(options.configs + "/vocabulary.toml"));
  out->vocabulary_ = std::make_shared<const Vocabulary>(std::move(vocabulary));
  DROVER_ASSIGN(const Stage2Config config, load_stage2_config(options.configs));
  DROVER_ASSIGN(OntologyStore ontology,
                OntologyStore::load_seed(options.configs + "/seed_ontology.toml", *out->vocabulary_));
  DROVER_ASSIGN(TaskGraph graph, TaskGraph::load_seed(options.configs + "/task_graph.toml", *out->vocabulary_));
  out->pipeline_ = std::make_unique<Stage2Pipeline>(config, *out->vocabulary_, std::move(ontology), std::move(graph));
  std::error_code failed;
  if (!options.read_only) std::filesystem::create_directories(options.folder, failed);
  if (failed) return fail(Errc::io, options.folder, failed.message());
  DROVER_TRY(out->read_state());
  return out;
}

std::string CentralSemantics::log_path(uint64_t generation) const {
  return fmt::format("{}/steps-{}.log", options_.folder, generation);
}

// Checkpoint and log belong together: beside a process that writes, they are read until they do.
Status CentralSemantics::read_state() {
  const std::string path = state_path(options_.folder);
  for (int attempt = 0; attempt < read_attempts; ++attempt) {
    const auto text = read_whole(path);
    if (!text && text.error().code != Errc::not_found) return tl::unexpected(text.error());
    if (!text && options_.read_only)
      return fail(Errc::not_found, options_.folder, "nothing was learnt here yet (drover ontology learn)");
    if (!text) return {};  // learns from the beginning
    DROVER_TRY(restore_state(*text));
    if (generation_ == 0) return {};
    log_ = std::make_unique<StepLog>(log_path(generation_));
    DROVER_ASSIGN(to_replay_, log_->read());
    const auto after = options_.read_only ? read_whole(path) : text;
    if (after && *after == *text) return {};
  }
  return fail(Errc::overloaded, options_.folder, "is being written too often to be read; try again");
}

Status CentralSemantics::restore_state(std::string_view text) {
  if (text.substr(0, 128).find(format_before) != std::string_view::npos) return {};
  DROVER_ASSIGN(const nlohmann::json root, parse_state(text, format_name));
  DROVER_ASSIGN(const std::string pipeline, get_text(root, "pipeline"));
  DROVER_TRY(pipeline_->restore(pipeline));
  DROVER_ASSIGN(generation_, get_count(root, "generation"));
  if (generation_ == 0) return bad_state("generation", "must be at least 1");
  DROVER_ASSIGN(own_incarnation_, get_count(root, "own_incarnation"));
  DROVER_ASSIGN(own_seq_, get_count(root, "own_seq"));
  DROVER_ASSIGN(const nlohmann::json* cursors, get_list(root, "cursors"));
  cursors_.clear();
  for (const nlohmann::json& c : *cursors) {
    DROVER_ASSIGN(const std::string robot, get_text(c, "robot"));
    DROVER_ASSIGN(const uint64_t incarnation, get_count(c, "incarnation"));
    DROVER_ASSIGN(cursors_[(sync::StreamId{robot, incarnation})], get_count(c, "seq"));
  }
  checkpoint_size_ = text.size();
  return {};
}

// Only when no records are pending.
std::string CentralSemantics::state_text(uint64_t generation) const {
  JsonText out;
  out.begin_object().field("format", format_name).field("generation", generation);
  out.field("own_incarnation", own_incarnation_).field("own_seq", own_seq_).key("cursors").begin_array();
  for (const auto& [stream, seq] : cursors_) {
    out.line().begin_object().field("robot", stream.robot).field("incarnation", stream.incarnation);
    out.field("seq", seq).end_object();
  }
  out.end_array().line().field("pipeline", pipeline_->save()).end_object();
  return std::move(out).text();
}

Status CentralSemantics::checkpoint() {
  DROVER_CHECK(pending_.empty() && moves_.empty() && to_replay_.empty(), "a checkpoint between steps only");
  const std::string text = state_text(generation_ + 1);
  if (Status written = replace_file(state_path(options_.folder), text); !written) {
    usable_ = false;  // which of the two is on the disk is not known
    return written;
  }
  std::error_code ignored;  // a log of before is never read again
  std::filesystem::remove(log_path(generation_), ignored);
  log_ = std::make_unique<StepLog>(log_path(++generation_));
  std::filesystem::remove(log_->path(), ignored);
  checkpoint_size_ = text.size();
  bytes_since_ = 0;
  costs_.checkpoint_bytes += text.size();
  ++costs_.checkpoints;
  return {};
}

bool CentralSemantics::checkpoint_due() const {
  const auto of_size = static_cast<uint64_t>(options_.checkpoint_ratio * static_cast<double>(checkpoint_size_));
  const uint64_t due = std::min(options_.checkpoint_bytes_max, std::max(options_.checkpoint_bytes_min, of_size));
  return bytes_since_ >= due || log_->notes() >= options_.checkpoint_steps_max;
}

Status CentralSemantics::log_moves() {
  if (moves_.empty()) return {};
  const uint64_t before = log_->bytes();
  DROVER_TRY(log_->append({moves_, own_seq_}));
  costs_.log_bytes += log_->bytes() - before;
  moves_.clear();
  return {};
}

Status CentralSemantics::replay(const sync::CentralStore& store, const StepMove& move) {
  CentralProgress ignored;
  uint64_t& cursor = cursors_[move.stream];
  cursor = move.after;
  while (cursor < move.last) {
    const uint64_t before = cursor;
    DROVER_ASSIGN(const auto blocks, store.inbox_env().read([&](const storage::ReadTxn& txn) {
      return store.inbox().read_in(txn, move.stream.robot, move.stream.incarnation, cursor + 1, options_.read_bytes);
    }));
    for (const Block& block : blocks) {
      for (size_t i = 0; i < block.count(); ++i) {
        const RecordView record = block.record(i);
        if (record.seq <= cursor || record.seq > move.last) continue;
        DROVER_TRY(take_record(store, move.stream, block, i, ignored));
        cursor = record.seq;
        bytes_since_ += record.payload.size();
      }
    }
    if (cursor == before)
      return fail(Errc::corrupt, move.stream.robot,
                  fmt::format("the inbox ends at {}, but {} was learnt from", cursor, move.last));
  }
  return {};
}

Status CentralSemantics::catch_up(const sync::CentralStore& store) {
  if (to_replay_.empty()) return {};
  usable_ = false;  // until all of it is done
  for (const StepNote& note : to_replay_) {
    if (note.moves.empty()) {
      (void)pipeline_->documents();
      evidence_counted_ = true;
      continue;
    }
    // What steps before the last have made is in the inbox.
    pending_.clear();
    own_seq_ = note.own_seq;
    evidence_counted_ = false;
    for (const StepMove& move : note.moves) DROVER_TRY(replay(store, move));
  }
  to_replay_.clear();
  usable_ = true;
  return {};
}

Status CentralSemantics::append_pending(sync::CentralStore& store) {
  if (pending_.empty()) return {};
  const sync::StreamId own{options_.stream, own_incarnation_};
  DROVER_ASSIGN(const auto facts, store.open_stream(own, pending_.front().time_unix_ns));
  // What a life before this one has appended is there.
  const size_t there = facts.durable_seq <= own_seq_
                           ? 0
                           : static_cast<size_t>(std::min<uint64_t>(pending_.size(), facts.durable_seq - own_seq_));
  BlockBuilder builder(own_seq_ + there + 1);
  const auto send = [&]() -> Status {
    if (builder.empty()) return {};
    DROVER_ASSIGN(Block block, Block::parse(builder.finish()));
    const storage::Incoming incoming[] = {
        {own.robot, own.incarnation, std::move(block), pending_.front().time_unix_ns}};
    DROVER_ASSIGN(const auto outcomes, store.append(incoming));
    if (outcomes.front().status != storage::AppendStatus::ok)
      return fail(Errc::conflict, own.robot, outcomes.front().message);
    return {};
  };
  for (size_t i = there; i < pending_.size(); ++i) {
    const Enrichment& e = pending_[i];
    const Bytes payload = encode(e);
    auto added = builder.add(RecordKind::enrichment, record_schema_current, e.time_unix_ns, payload);
    if (!added && added.error().code == Errc::too_large && !builder.empty()) {
      DROVER_TRY(send());
      added = builder.add(RecordKind::enrichment, record_schema_current, e.time_unix_ns, payload);
    }
    if (!added) return tl::unexpected(added.error());
    costs_.record_bytes += payload.size();
  }
  DROVER_TRY(send());
  own_seq_ += pending_.size();
  pending_.clear();
  return {};
}

void CentralSemantics::keep(CommitResult result) {
  if (!result.record.pack_id.empty()) pending_.push_back(std::move(result.record));
  for (Enrichment& e : result.retroactive) pending_.push_back(std::move(e));
}

// What its robot's own segmenter said of a datapack: the record right before it, if that is one. Nothing: the datapack
// speaks for itself.
Result<std::optional<EpisodeSegments>> CentralSemantics::segments_before(const sync::CentralStore& store,
                                                                         const sync::StreamId& stream,
                                                                         const Block& block, size_t at,
                                                                         std::string_view pack_id) const {
  const auto parsed = [&](const RecordView& before) -> std::optional<EpisodeSegments> {
    if (before.kind != RecordKind::enrichment) return std::nullopt;
    const auto record = decode_enrichment(before.payload);
    if (!record || record->source != robot_segmenter_source || record->pack_id != pack_id) return std::nullopt;
    auto found = parse_segments(record->tags_json);
    if (!found || found->segments.empty()) return std::nullopt;
    return std::move(*found);
  };
  if (at > 0) return parsed(block.record(at - 1));
  const uint64_t seq = block.record(at).seq;
  if (seq <= 1) return std::nullopt;
  DROVER_ASSIGN(const auto blocks, store.inbox_env().read([&](const storage::ReadTxn& txn) {
    return store.inbox().read_in(txn, stream.robot, stream.incarnation, seq - 1, 1);
  }));
  for (const Block& earlier : blocks)
    for (size_t i = 0; i < earlier.count(); ++i)
      if (earlier.record(i).seq == seq - 1) return parsed(earlier.record(i));
  return std::nullopt;
}

Status CentralSemantics::take_record(const sync::CentralStore& store, const sync::StreamId& stream, const Block& block,
                                     size_t at, CentralProgress& progress) {
  const RecordView record = block.record(at);
  // Whole milliseconds: what the state file keeps exactly.
  const int64_t time_unix_ns = record.time_unix_ns / 1000000 * 1000000;
  if (record.kind == RecordKind::datapack) {
    const auto pack = decode_datapack(record.payload);
    if (!pack) return {};  // the centre set it aside with the reason
    DROVER_ASSIGN(const auto found, segments_before(store, stream, block, at, pack->pack_id));
    keep(pipeline_->commit(
        found ? analysis_of_segments(*pack, *found, *pipeline_) : analysis_of_datapack(*pack, *vocabulary_),
        time_unix_ns));
    ++progress.datapacks;
    if (found) ++progress.segmented;
  }
  if (record.kind == RecordKind::outcome) {
    const auto outcome = decode_outcome(record.payload);
    if (!outcome) return {};
    const nlohmann::json metrics = nlohmann::json::parse(outcome->metrics_json, nullptr, false);
    const auto number = [&](const char* name) {
      return metrics.is_object() && metrics.contains(name) && metrics[name].is_number() ? metrics[name].get<double>()
                                                                                        : 0;
    };
    // An outcome that does not say whether it was a success says how often it was wrong, or what came out.
    const bool told = metrics.is_object() && metrics.contains("success");
    const bool rated = metrics.is_object() && metrics.contains("error_rate");
    const bool good = told ? number("success") > 0 : rated ? number("error_rate") < 0.5 : number("mpl_units_per_h") > 0;
    const OutcomeFacts facts{good, number("damage"), number("mpl_units_per_h")};
    (void)pipeline_->on_outcome(outcome->pack_id, facts, true);  // one that nothing waits for says nothing new
    ++progress.outcomes;
  }
  return {};
}

Status CentralSemantics::take_stream(const sync::CentralStore& store, const sync::StreamId& stream,
                                     CentralProgress& progress) {
  uint64_t& cursor = cursors_[stream];
  DROVER_ASSIGN(const auto blocks, store.inbox_env().read([&](const storage::ReadTxn& txn) {
    return store.inbox().read_in(txn, stream.robot, stream.incarnation, cursor + 1, options_.read_bytes);
  }));
  for (const Block& block : blocks) {
    for (size_t i = 0; i < block.count(); ++i) {
      const RecordView record = block.record(i);
      if (record.seq <= cursor) continue;
      DROVER_TRY(take_record(store, stream, block, i, progress));  // an error leaves it to the next step
      if (moves_.empty() || moves_.back().stream != stream) moves_.push_back({stream, cursor, cursor});
      evidence_counted_ = false;
      moves_.back().last = cursor = record.seq;
      bytes_since_ += record.payload.size();
      costs_.input_bytes += record.payload.size();
      progress.more = true;
    }
  }
  return {};
}

Result<std::map<std::string, Bytes>> CentralSemantics::documents() {
  if (options_.read_only) return fail(Errc::refused, options_.folder, "is open to be read only");
  // Noted first: when this life ends in between, the next one counts the evidence at the same place.
  if (generation_ > 0 && !evidence_counted_) {
    DROVER_TRY(log_moves());
    const uint64_t before = log_->bytes();
    DROVER_TRY(log_->append({{}, own_seq_}));
    costs_.log_bytes += log_->bytes() - before;
  }
  evidence_counted_ = true;
  return pipeline_->documents();
}

std::shared_ptr<const KnowledgeView> CentralSemantics::view() const {
  return std::make_shared<const KnowledgeView>(
      KnowledgeView{vocabulary_, pipeline_->orchestrator(), pipeline_->metrics(), pipeline_->focus()});
}

// Without a state it begins a new life of its stream, as a robot does whose disk was replaced.
Status CentralSemantics::begin_life(const std::vector<sync::StreamId>& streams) {
  if (generation_ > 0) return {};
  own_incarnation_ = 1;
  for (const sync::StreamId& stream : streams)
    if (stream.robot == options_.stream) own_incarnation_ = std::max(own_incarnation_, stream.incarnation + 1);
  return checkpoint();
}

Result<CentralProgress> CentralSemantics::step(sync::CentralStore& store) {
  CentralProgress out;
  if (options_.read_only) return fail(Errc::refused, options_.folder, "is open to be read only");
  if (!usable_) return fail(Errc::refused, options_.folder, "has failed half way and must be opened anew");
  DROVER_TRY(catch_up(store));
  DROVER_ASSIGN(auto streams, store.streams());
  std::sort(streams.begin(), streams.end());
  DROVER_TRY(begin_life(streams));
  DROVER_TRY(log_moves());            // of a call that failed: what is not in the log must not be appended
  DROVER_TRY(append_pending(store));  // of a call or a life before this one
  const auto versions = [&] {
    return std::pair{pipeline_->orchestrator().ontology().version(), pipeline_->orchestrator().graph().version()};
  };
  const auto before = versions();
  for (const sync::StreamId& stream : streams)
    if (!sync::is_own_stream(stream.robot)) DROVER_TRY(take_stream(store, stream, out));
  if (!out.more) return out;
  out.records = pending_.size();
  out.changed = versions() != before;
  DROVER_TRY(log_moves());
  DROVER_TRY(append_pending(store));
  if (checkpoint_due()) DROVER_TRY(checkpoint());
  return out;
}

}  // namespace drover::semantics
