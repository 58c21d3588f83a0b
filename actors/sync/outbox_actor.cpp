#include "actors/sync/outbox_actor.hpp"

#include <algorithm>
#include <caf/event_based_actor.hpp>
#include <caf/stateful_actor.hpp>
#include <chrono>
#include <optional>

#include "actors/network/uplink_messages.hpp"
#include "messages/buggify.hpp"

namespace drover::sync {
namespace {

using runtime::log_value;
using runtime::LogLevel;
using Millis = std::chrono::milliseconds;

struct Tick {};
struct AskJournal {};
struct TellAcked {};
struct ResumeJournal {
  uint64_t generation = 0;
};
using ReadReply = Result<BlockRead>;
using PieceReply = Result<Bytes>;

}  // namespace
}  // namespace drover::sync

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::Tick)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::AskJournal)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::TellAcked)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(drover::sync::ResumeJournal)

namespace drover::sync {
namespace {

BlockReply block_reply(network::AckStatus status) {
  switch (status) {
    case network::AckStatus::ok:
      return BlockReply::ok;
    case network::AckStatus::gap:
      return BlockReply::gap;
    case network::AckStatus::conflict:
      return BlockReply::conflict;
    case network::AckStatus::corrupt:
      return BlockReply::corrupt;
    case network::AckStatus::refused:
      return BlockReply::refused;
    case network::AckStatus::overloaded:
      return BlockReply::overloaded;
  }
  return BlockReply::lost;
}

// The same bytes with another one in their middle.
Bytes damaged(const Bytes& bytes) {
  return Bytes::make(bytes.size(), [&](std::span<std::byte> out) {
    std::copy(bytes.data(), bytes.data() + bytes.size(), out.begin());
    if (!out.empty()) out[out.size() / 2] ^= std::byte{1};
  });
}

// The same block with another byte in its last record, sealed as if it were right.
Bytes damaged_block(const Bytes& bytes) {
  const Bytes changed = Bytes::make(bytes.size(), [&](std::span<std::byte> out) {
    std::copy(bytes.data(), bytes.data() + bytes.size(), out.begin());
    const auto parsed = Block::parse(bytes);
    if (!parsed || parsed->count() == 0) return;
    const ByteView payload = parsed->record(parsed->count() - 1).payload;
    if (!payload.empty()) out[static_cast<size_t>(payload.data() - bytes.data()) + payload.size() / 2] ^= std::byte{1};
  });
  const auto block = Block::parse_sealed(changed);
  if (!block) return changed;
  BlockBuilder builder(block->first_seq());
  for (size_t i = 0; i < block->count(); ++i)
    if (!builder.add_frame(block->record(i))) return changed;
  return builder.finish();
}

struct OutboxState;
using OutboxActor = caf::stateful_actor<OutboxState>;

struct OutboxState {
  const char* name = "outbox";
  OutboxActor* self = nullptr;
  runtime::Environment* env = nullptr;
  OutboxConfig config;
  runtime::Ref uplink;
  runtime::Ref store;
  Outbox journal{{}};
  BlobLane blobs{{}};
  OutboxFacts facts;
  static constexpr int acked_pause_ms = 100;
  uint64_t told_acked_seq = 0;
  int64_t told_acked_ns = 0;
  bool tell_scheduled = false;
  uint64_t knowledge_held = 0;
  bool halt_logged = false;
  bool fetching_knowledge = false;
  bool asking_store = false;
  bool journal_known = false;                   // the store has told how far its journal goes
  std::optional<network::LinkUp> waiting_link;  // came before that

  Millis store_timeout() const { return Millis(config.store_timeout_ms); }
  Millis call_timeout() const { return Millis(config.call_timeout_ms); }
  int64_t now_ns() const { return env->clock().steady_ns(); }

  // ---- journal lane
  void pump_journal() {
    if (!journal.halted().empty() && !halt_logged) {
      halt_logged = true;
      env->log(LogLevel::error, "sync.outbox_halted reason=" + log_value(journal.halted()) +
                                    " acked_seq=" + std::to_string(journal.acked_seq()));
    }
    tell_acked();
    if (const auto read = journal.next_read()) read_block(*read);
  }

  // Each mark costs the robot's disk a commit, and a lost one nothing: the centre says at the next hello what it has.
  void tell_acked() {
    if (journal.acked_seq() <= told_acked_seq || tell_scheduled) return;
    const int64_t rest_ns = told_acked_ns + int64_t{acked_pause_ms} * 1'000'000 - now_ns();
    if (told_acked_ns != 0 && rest_ns > 0) {
      tell_scheduled = true;
      self->delayed_send(self, Millis(rest_ns / 1'000'000 + 1), TellAcked{});
      return;
    }
    told_acked_seq = journal.acked_seq();
    told_acked_ns = now_ns();
    store.send(self, RecordsAcked{told_acked_seq});
  }

  void read_block(const Outbox::Read& read) {
    store.request(self, store_timeout(), ReadBlock{read.from_seq, read.max_bytes})
        .then([this, read](ReadReply& reply) { block_read(read, reply); },
              [this, read](caf::error&) { journal.read_done(read, 0, 0, 0); });
  }

  void block_read(const Outbox::Read& read, ReadReply& reply) {
    if (!reply) {
      env->log(LogLevel::error, "sync.journal_unreadable from_seq=" + std::to_string(read.from_seq) +
                                    " reason=" + log_value(reply.error().message()));
      journal.read_done(read, 0, 0, 0);
      return;
    }
    if (journal.read_done(read, reply->first_seq, reply->last_seq, reply->block.size())) send_block(*reply);
    pump_journal();
  }

  void send_block(const BlockRead& block) {
    const uint64_t generation = journal.generation();
    const uint64_t first = block.first_seq;
    const uint64_t last = block.last_seq;
    ++facts.blocks_sent;
    facts.journal_bytes_sent += block.block.size();
    const Bytes bytes = buggify::fire(buggify::Site::outbox_bad_block) ? damaged_block(block.block) : block.block;
    uplink.request(self, call_timeout(), network::SendBlock{bytes})
        .then(
            [this, generation, first, last](network::AppendReply& reply) {
              if (reply)
                block_answered(generation, first, last, block_reply(reply->status), reply->durable_seq, reply->message);
              else
                block_lost(generation, first, last, reply.error());
            },
            [this, generation, first, last](caf::error&) {
              block_answered(generation, first, last, BlockReply::lost, 0, "no answer");
            });
  }

  void block_lost(uint64_t generation, uint64_t first, uint64_t last, const Error& error) {
    const bool full = error.code == Errc::overloaded;
    block_answered(generation, first, last, full ? BlockReply::overloaded : BlockReply::lost, journal.acked_seq(),
                   error.message());
  }

  void block_answered(uint64_t generation, uint64_t first, uint64_t last, BlockReply reply, uint64_t durable_seq,
                      const std::string& reason) {
    if (generation == journal.generation() && reply != BlockReply::ok)
      env->log(LogLevel::warn, "sync.block_not_taken first_seq=" + std::to_string(first) +
                                   " last_seq=" + std::to_string(last) + " reason=" + log_value(reason));
    if (buggify::fire(buggify::Site::outbox_answer_lost)) reply = BlockReply::lost;
    journal.replied(generation, first, last, reply, durable_seq, reason);
    if (journal.paused()) self->delayed_send(self, Millis(config.retry_ms), ResumeJournal{journal.generation()});
    pump_journal();
  }

  // ---- chunk lane
  void pump_blobs() {
    if (blobs.ask_wants(now_ns())) ask_wants();
    while (const auto piece = blobs.next_piece(now_ns())) read_piece(*piece);
  }

  void ask_wants() {
    uplink
        .request(self, call_timeout(),
                 network::FetchWants{std::max<uint64_t>(config.blobs.burst_bytes, config.blobs.budget_bytes_per_s),
                                     config.blobs.wants_max})
        .then(
            [this](network::WantsReply& reply) {
              std::deque<BlobLane::Want> list;
              if (reply)
                for (const auto& item : reply->items) list.push_back({item.hash, item.offset, item.size_bytes});
              blobs.wants(now_ns(), list);
              pump_blobs();
            },
            [this](caf::error&) { blobs.wants_failed(now_ns()); });
  }

  void read_piece(const BlobLane::Piece& piece) {
    store.request(self, store_timeout(), ReadPiece{piece.hash, piece.offset, piece.bytes})
        .then(
            [this, piece](PieceReply& reply) {
              if (reply) return send_piece(piece, *reply);
              env->log(LogLevel::warn, "sync.chunk_unreadable hash=" + to_hex(piece.hash) +
                                           " reason=" + log_value(reply.error().message()));
              blobs.piece_failed(piece);
              // The centre learns from the journal that it is lost; asking at once would only name it again.
              blobs.wants_failed(now_ns());
            },
            [this, piece](caf::error&) { blobs.piece_failed(piece); });
  }

  void send_piece(const BlobLane::Piece& piece, const Bytes& bytes) {
    const Bytes sent = buggify::fire(buggify::Site::outbox_bad_piece) ? damaged(bytes) : bytes;
    uplink.request(self, call_timeout(), network::SendChunk{piece.hash, piece.offset, piece.size_bytes, sent})
        .then(
            [this, piece](network::ChunkReply& reply) {
              if (!reply) {
                piece_refused(piece);
              } else if (blobs.piece_done(piece, reply->complete) || buggify::bug(buggify::Bug::acked_when_sent)) {
                store.send(self, ChunkAcked{piece.hash});
              }
              pump_blobs();
            },
            [this, piece](caf::error&) { piece_refused(piece); });
  }

  // The centre could not take it (its disk, a restart): ask again after the idle pause instead of sending in circles.
  void piece_refused(const BlobLane::Piece& piece) {
    blobs.piece_failed(piece);
    blobs.wants_failed(now_ns());
  }

  // ---- knowledge lane
  void fetch_knowledge(uint64_t offered_version) {
    if (fetching_knowledge || offered_version <= knowledge_held) return;
    fetching_knowledge = true;
    uplink.request(self, call_timeout(), network::FetchKnowledge{knowledge_held})
        .then(
            [this](network::KnowledgeReply& reply) {
              fetching_knowledge = false;
              if (buggify::fire(buggify::Site::knowledge_answer_lost)) return;
              if (reply && !reply->snapshot.empty()) apply_knowledge(reply->snapshot);
            },
            [this](caf::error&) { fetching_knowledge = false; });
  }

  void apply_knowledge(const Bytes& snapshot) {
    store.request(self, store_timeout(), ApplyKnowledge{snapshot})
        .then(
            [this](Result<KnowledgeApplied>& applied) {
              if (!applied) {
                env->log(LogLevel::error, "sync.knowledge_refused reason=" + log_value(applied.error().message()));
                return;
              }
              knowledge_held = applied->version;
              facts.knowledge_version = applied->version;
              env->log(LogLevel::info, "sync.knowledge_applied version=" + std::to_string(applied->version));
            },
            [](caf::error&) {});
  }

  // ---- link
  // A restarted outbox may hear of a link before it knows its journal, and must not judge the centre's word without it.
  void link_up(const network::LinkUp& up) {
    if (journal_known) return use_link(up);
    waiting_link = up;
    ask_journal();
  }

  void ask_journal() {
    store.request(self, store_timeout(), AskRobotStore{})
        .then(
            [this](RobotStoreFacts& f) {
              know_journal(f);
              if (waiting_link) use_link(*std::exchange(waiting_link, std::nullopt));
            },
            [this](caf::error&) {
              if (waiting_link) self->delayed_send(self, Millis(config.retry_ms), AskJournal{});
            });
  }

  void know_journal(const RobotStoreFacts& f) {
    journal_known = true;
    journal.journal_grew(f.last_seq);
    journal.journal_begins(f.first_seq);
    knowledge_held = f.knowledge_version;
    facts.knowledge_version = f.knowledge_version;
  }

  void use_link(const network::LinkUp& up) {
    facts.link_up = true;
    ++facts.links;
    env->log(LogLevel::info, "sync.link_up centre=" + up.centre.text() + " durable_seq=" +
                                 std::to_string(up.durable_seq) + " last_seq=" + std::to_string(journal.last_seq()));
    journal.link_up(up.durable_seq, up.window_bytes, up.max_block_bytes);
    blobs.link_up(now_ns());
    told_acked_seq = 0;
    fetch_knowledge(up.knowledge_version);
    pump_journal();
    pump_blobs();
  }

  void link_down(const network::LinkDown& down) {
    waiting_link.reset();
    if (facts.link_up)
      env->log(LogLevel::warn, "sync.link_down reason=" + log_value(down.reason.message()) +
                                   " retry_ms=" + std::to_string(down.retry_in_ms));
    facts.link_up = false;
    journal.link_down();
    blobs.link_down();
  }

  void pong(const network::LinkPong& pong) {
    facts.round_trip_us = pong.round_trip_us;
    facts.chunks_wanted = pong.pong.chunks_wanted;
    // The centre wants nothing of what we sent: it has every chunk, some perhaps from other robots.
    if (pong.pong.chunks_wanted == 0 && pong.pong.applied_seq > 0)
      store.send(self, ChunksSettled{pong.pong.applied_seq});
    fetch_knowledge(pong.pong.knowledge_version);
    report_status();
    pump_journal();
    pump_blobs();
  }

  void report_status() {
    if (asking_store) return;
    asking_store = true;
    store.request(self, store_timeout(), AskRobotStore{})
        .then(
            [this](RobotStoreFacts& f) {
              asking_store = false;
              journal.journal_grew(f.last_seq);
              // A mark that its disk did not take is told again; without it a robot at rest would never learn it.
              told_acked_seq = std::min(told_acked_seq, f.acked_seq);
              tell_acked();
              network::NodeStatus status{f.last_seq,           f.acked_seq,       f.blob_bytes,
                                         f.blob_backlog_bytes, f.capture_stopped, f.alarm};
              if (status.alarm.empty()) status.alarm = journal.halted();
              uplink.send(self, network::SetStatus{status});
            },
            [this](caf::error&) { asking_store = false; });
  }

  caf::result<network::HelloFacts> prepare_hello() {
    auto promise = self->make_response_promise<network::HelloFacts>();
    store.request(self, store_timeout(), AskRobotStore{})
        .then(
            [this, promise](RobotStoreFacts& f) mutable {
              know_journal(f);
              promise.deliver(network::HelloFacts{f.incarnation, f.first_seq, f.last_seq, f.knowledge_version});
            },
            [promise](caf::error& e) mutable { promise.deliver(std::move(e)); });
    return promise;
  }

  OutboxFacts report() const {
    OutboxFacts report = facts;
    report.halted = journal.halted();
    report.acked_seq = journal.acked_seq();
    report.last_seq = journal.last_seq();
    report.in_flight_bytes = journal.in_flight_bytes();
    report.resent_blocks = journal.resent_blocks();
    report.blob_bytes_sent = blobs.sent_bytes();
    return report;
  }

  void tick() {
    pump_journal();
    pump_blobs();
    self->delayed_send(self, Millis(blobs.wait_ms(now_ns())), Tick{});
  }
};

caf::behavior outbox_actor(OutboxActor* self, runtime::Environment* env, OutboxConfig config, runtime::Ref uplink,
                           runtime::Ref store) {
  OutboxState& s = self->state;
  s.self = self;
  s.env = env;
  s.config = config;
  s.uplink = std::move(uplink);
  s.store = std::move(store);
  s.journal = Outbox(config.journal);
  s.blobs = BlobLane(config.blobs);
  s.store.send(self, WatchJournal{});
  s.uplink.send(self, network::WatchLink{});
  self->send(self, Tick{});
  return {
      [&s](const network::PrepareHello&) { return s.prepare_hello(); },
      [&s](const network::LinkUp& up) { s.link_up(up); },
      [&s](const network::LinkDown& down) { s.link_down(down); },
      [&s](const network::LinkPong& pong) { s.pong(pong); },
      [&s](const JournalGrew& grew) {
        s.journal.journal_grew(grew.last_seq);
        s.pump_journal();
      },
      [&s](const ResumeJournal& resume) {
        if (resume.generation != s.journal.generation()) return;
        s.journal.resume();
        s.pump_journal();
      },
      [&s](const AskJournal&) {
        if (s.waiting_link) s.ask_journal();
      },
      [&s](const TellAcked&) {
        s.tell_scheduled = false;
        s.tell_acked();
      },
      [&s](const Tick&) { s.tick(); },
      [&s](const AskOutbox&) { return s.report(); },
  };
}

}  // namespace

caf::actor spawn_outbox(runtime::Environment& env, OutboxConfig config, runtime::Ref uplink, runtime::Ref store) {
  return env.spawn(outbox_actor, &env, config, std::move(uplink), std::move(store));
}

}  // namespace drover::sync
