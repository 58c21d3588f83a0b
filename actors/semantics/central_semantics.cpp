#include "actors/semantics/central_semantics.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "actors/semantics/json_read.hpp"
#include "actors/semantics/json_text.hpp"

namespace drover::semantics {
namespace {

constexpr std::string_view format_name = "drover.central_semantics.v1";

Status write_synced(const std::string& path, std::string_view text) {
  const std::string temporary = path + ".new";
  const int file = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) return fail(Errc::io, temporary, std::strerror(errno));
  bool good = true;
  while (good && !text.empty()) {
    const ssize_t n = ::write(file, text.data(), text.size());
    good = n > 0 || (n < 0 && errno == EINTR);
    if (n > 0) text.remove_prefix(static_cast<size_t>(n));
  }
  good = good && ::fsync(file) == 0;
  const int why = errno;
  ::close(file);
  if (!good) return fail(why == ENOSPC ? Errc::disk_full : Errc::io, temporary, std::strerror(why));
  if (std::rename(temporary.c_str(), path.c_str()) != 0) return fail(Errc::io, path, std::strerror(errno));
  const int folder = ::open(std::filesystem::path(path).parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return fail(Errc::io, path, std::strerror(errno));
  const bool synced = ::fsync(folder) == 0;
  ::close(folder);
  return synced ? Status{} : fail(Errc::io, path, std::strerror(errno));
}

}  // namespace

Result<std::unique_ptr<CentralSemantics>> CentralSemantics::open(const CentralSemanticsOptions& options) {
  std::unique_ptr<CentralSemantics> out(new CentralSemantics(options));
  DROVER_ASSIGN(Vocabulary vocabulary, Vocabulary::load(options.configs + "/vocabulary.toml"));
  out->vocabulary_ = std::make_unique<Vocabulary>(std::move(vocabulary));
  DROVER_ASSIGN(const Stage2Config config, load_stage2_config(options.configs));
  DROVER_ASSIGN(OntologyStore ontology,
                OntologyStore::load_seed(options.configs + "/seed_ontology.toml", *out->vocabulary_));
  DROVER_ASSIGN(TaskGraph graph, TaskGraph::load_seed(options.configs + "/task_graph.toml", *out->vocabulary_));
  out->pipeline_ = std::make_unique<Stage2Pipeline>(config, *out->vocabulary_, std::move(ontology), std::move(graph));
  std::error_code failed;
  std::filesystem::create_directories(options.folder, failed);
  if (failed) return fail(Errc::io, options.folder, failed.message());
  DROVER_TRY(out->read_state());
  return out;
}

Status CentralSemantics::read_state() {
  const std::string path = state_path(options_.folder);
  std::ifstream in(path, std::ios::binary);
  if (!in) return {};  // learns from the beginning
  std::ostringstream text;
  text << in.rdbuf();
  DROVER_ASSIGN(const nlohmann::json root, parse_state(text.view(), format_name));
  DROVER_ASSIGN(const std::string pipeline, get_text(root, "pipeline"));
  DROVER_TRY(pipeline_->restore(pipeline));
  DROVER_ASSIGN(own_incarnation_, get_count(root, "own_incarnation"));
  DROVER_ASSIGN(own_seq_, get_count(root, "own_seq"));
  DROVER_ASSIGN(const nlohmann::json* cursors, get_list(root, "cursors"));
  for (const nlohmann::json& c : *cursors) {
    DROVER_ASSIGN(const std::string robot, get_text(c, "robot"));
    DROVER_ASSIGN(const uint64_t incarnation, get_count(c, "incarnation"));
    DROVER_ASSIGN(cursors_[(sync::StreamId{robot, incarnation})], get_count(c, "seq"));
  }
  DROVER_ASSIGN(const nlohmann::json* pending, get_list(root, "pending"));
  for (const nlohmann::json& p : *pending) {
    Enrichment e;
    DROVER_ASSIGN(e.pack_id, get_text(p, "pack_id"));
    DROVER_ASSIGN(e.source, get_text(p, "source"));
    DROVER_ASSIGN(e.tags_json, get_text(p, "tags_json"));
    DROVER_ASSIGN(const double time, get_number(p, "time_unix_ms"));
    e.time_unix_ns = static_cast<int64_t>(time) * 1000000;
    pending_.push_back(std::move(e));
  }
  return {};
}

Status CentralSemantics::write_state() const {
  JsonText out;
  out.begin_object()
      .field("format", format_name)
      .field("own_incarnation", own_incarnation_)
      .field("own_seq", own_seq_)
      .key("cursors")
      .begin_array();
  for (const auto& [stream, seq] : cursors_) {
    out.line().begin_object().field("robot", stream.robot).field("incarnation", stream.incarnation);
    out.field("seq", seq).end_object();
  }
  out.end_array().key("pending").begin_array();
  for (const Enrichment& e : pending_) {
    out.line().begin_object().field("pack_id", e.pack_id).field("source", e.source).field("tags_json", e.tags_json);
    out.field("time_unix_ms", e.time_unix_ns / 1000000).end_object();
  }
  out.end_array().line().field("pipeline", pipeline_->save()).end_object();
  return write_synced(state_path(options_.folder), out.text());
}

Status CentralSemantics::append_pending(sync::CentralStore& store) {
  if (pending_.empty()) return {};
  const sync::StreamId own{options_.stream, own_incarnation_};
  DROVER_ASSIGN(const auto facts, store.open_stream(own, pending_.front().time_unix_ns));
  (void)facts;
  BlockBuilder builder(own_seq_ + 1);
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
  for (const Enrichment& e : pending_) {
    const Bytes payload = encode(e);
    auto added = builder.add(RecordKind::enrichment, record_schema_current, e.time_unix_ns, payload);
    if (!added && added.error().code == Errc::too_large && !builder.empty()) {
      DROVER_TRY(send());
      added = builder.add(RecordKind::enrichment, record_schema_current, e.time_unix_ns, payload);
    }
    if (!added) return tl::unexpected(added.error());
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

Status CentralSemantics::take_record(const RecordView& record, CentralProgress& progress) {
  // Whole milliseconds: what the state file keeps exactly.
  const int64_t time_unix_ns = record.time_unix_ns / 1000000 * 1000000;
  if (record.kind == RecordKind::datapack) {
    const auto pack = decode_datapack(record.payload);
    if (!pack) return {};  // the centre set it aside with the reason
    keep(pipeline_->commit(analysis_of_datapack(*pack, *vocabulary_), time_unix_ns));
    ++progress.datapacks;
  }
  if (record.kind == RecordKind::outcome) {
    const auto outcome = decode_outcome(record.payload);
    if (!outcome) return {};
    const nlohmann::json metrics = nlohmann::json::parse(outcome->metrics_json, nullptr, false);
    const auto number = [&](const char* name) {
      return metrics.is_object() && metrics.contains(name) && metrics[name].is_number() ? metrics[name].get<double>()
                                                                                        : 0;
    };
    const OutcomeFacts facts{number("success") > 0, number("damage"), number("mpl_units_per_h")};
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
      unsaved_ = true;
      DROVER_TRY(take_record(record, progress));
      cursor = record.seq;
      progress.more = true;
    }
  }
  return {};
}

Result<std::map<std::string, Bytes>> CentralSemantics::documents() {
  auto out = pipeline_->documents();
  unsaved_ = true;
  DROVER_TRY(write_state());
  unsaved_ = false;
  return out;
}

Result<CentralProgress> CentralSemantics::step(sync::CentralStore& store) {
  CentralProgress out;
  if (unsaved_) DROVER_TRY(write_state());  // what is not in the state must not be appended
  unsaved_ = false;
  DROVER_TRY(append_pending(store));  // of a call or a life before this one
  const auto versions = [&] {
    return std::pair{pipeline_->orchestrator().ontology().version(), pipeline_->orchestrator().graph().version()};
  };
  const auto before = versions();
  DROVER_ASSIGN(auto streams, store.streams());
  std::sort(streams.begin(), streams.end());
  // Without a state it begins a new life of its stream, as a robot does whose disk was replaced.
  if (own_incarnation_ == 0) {
    own_incarnation_ = 1;
    for (const sync::StreamId& stream : streams)
      if (stream.robot == options_.stream) own_incarnation_ = std::max(own_incarnation_, stream.incarnation + 1);
  }
  for (const sync::StreamId& stream : streams)
    if (stream.robot != options_.stream) DROVER_TRY(take_stream(store, stream, out));
  if (!out.more) return out;
  out.records = pending_.size();
  out.changed = versions() != before;
  DROVER_TRY(write_state());
  unsaved_ = false;
  DROVER_TRY(append_pending(store));
  return out;
}

}  // namespace drover::semantics
