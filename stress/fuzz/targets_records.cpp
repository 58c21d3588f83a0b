// Records as they lie in journals and travel in sessions, and knowledge.
#include <random>

#include "messages/datapack.hpp"
#include "messages/episode.hpp"
#include "messages/knowledge.hpp"
#include "messages/record.hpp"
#include "storage/datapack_json.hpp"
#include "storage/jsonl.hpp"
#include "stress/fuzz/target.hpp"
#include "tests/support/random_values.hpp"

namespace drover::fuzz {
namespace {

std::string text_of(const Bytes& bytes) {
  return std::string(bytes.text());
}

// What was read is written and read back the same.
template <auto Decode>
void round_trip(ByteView bytes) {
  const auto first = Decode(bytes);
  if (!first) return;
  const Bytes written = encode(*first);
  const auto second = Decode(written);
  DROVER_CHECK(second.has_value(), "what was read and written does not read again");
  DROVER_CHECK(encode(*second) == written, "reading and writing changes a value");
}

void episode(ByteView bytes) {
  round_trip<decode_episode>(bytes);
  if (const auto value = decode_episode(bytes)) (void)validate(*value);
}

void datapack(ByteView bytes) {
  round_trip<decode_datapack>(bytes);
  const auto pack = decode_datapack(bytes);
  if (!pack) return;
  (void)validate(*pack);
  (void)storage::datapack_to_json(*pack);
}

void decode_by_kind(const RecordView& record) {
  switch (record.kind) {
    case RecordKind::episode:
      return (void)decode_episode(record.payload);
    case RecordKind::datapack:
      return (void)decode_datapack(record.payload);
    case RecordKind::enrichment:
      return (void)decode_enrichment(record.payload);
    case RecordKind::event:
      return (void)decode_event(record.payload);
    case RecordKind::outcome:
      return (void)decode_outcome(record.payload);
    case RecordKind::receipt:
      return (void)decode_receipt(record.payload);
  }
}

// Journal blocks. A checksum stands before everything else, so the structure is also read without asking it.
void block(ByteView bytes) {
  (void)Block::parse(Bytes::copy_of(bytes));
  const auto parsed = Block::parse_sealed(Bytes::copy_of(bytes));
  if (!parsed) return;
  const bool honest = parsed->verify_hashes().has_value();
  BlockBuilder again(parsed->first_seq());
  for (size_t i = 0; i < parsed->count(); ++i) {
    const RecordView record = parsed->record(i);
    decode_by_kind(record);
    DROVER_CHECK(again.add_frame(record).has_value(), "a record of a good block does not fit a block");
  }
  const auto back = Block::parse(again.finish());
  DROVER_CHECK(back && back->count() == parsed->count(), "the records of a good block make none");
  DROVER_CHECK(back->verify_hashes().has_value() == honest, "copying a record changes whether its hash holds");
}

void knowledge(ByteView bytes) {
  round_trip<decode_knowledge>(bytes);
  round_trip<decode_signed_knowledge>(bytes);
  if (const auto held = decode_signed_knowledge(bytes)) {
    (void)decode_knowledge(held->body);
    (void)verify_knowledge(*held, Ed25519Key{});
  }
}

// One line of a datapack file.
void datapack_json(ByteView bytes) {
  const auto pack = storage::datapack_from_json(as_text(bytes));
  if (!pack) return;
  (void)validate(*pack);
  const auto line = storage::datapack_to_json(*pack);
  if (!line) return;
  const auto again = storage::datapack_from_json(*line);
  DROVER_CHECK(again.has_value(), "a line that was written does not read");
  DROVER_CHECK(storage::datapack_to_json(*again).value_or("") == *line, "reading and writing changes a line");
}

// ---- seeds

template <class Make>
Seeds some(Make&& make, int count = 3) {
  test::Rng rng(11);
  Seeds seeds;
  for (int i = 0; i < count; ++i) seeds.push_back(make(rng));
  return seeds;
}

Seeds episode_seeds() {
  return some([](test::Rng& rng) { return text_of(encode(test::random_episode(rng))); });
}
Seeds datapack_seeds() {
  return some([](test::Rng& rng) { return text_of(encode(test::random_datapack(rng))); });
}
Seeds datapack_json_seeds() {
  return some([](test::Rng& rng) { return storage::datapack_to_json(test::random_datapack(rng)).value_or(""); });
}
Seeds event_seeds() {
  return {text_of(encode(Event{5, "disk", "warning", "robot", "half full"}))};
}
Seeds receipt_seeds() {
  return some([](test::Rng& rng) { return text_of(encode(test::random_receipt(rng))); });
}
Seeds enrichment_seeds() {
  return some([](test::Rng& rng) { return text_of(encode(test::random_enrichment(rng))); });
}
Seeds outcome_seeds() {
  return some([](test::Rng& rng) { return text_of(encode(test::random_outcome(rng))); });
}
Seeds knowledge_seeds() {
  return some([](test::Rng& rng) {
    SignedKnowledge signed_one;
    signed_one.body = encode(test::random_knowledge(rng));
    return text_of(test::chance(rng, 2) ? signed_one.body : encode(signed_one));
  });
}
Seeds block_seeds() {
  return some([](test::Rng& rng) {
    BlockBuilder builder(1 + test::below(rng, 1000));
    (void)builder.add(RecordKind::episode, 1, 5, encode(test::random_episode(rng)));
    (void)builder.add(RecordKind::datapack, 1, 6, encode(test::random_datapack(rng)));
    (void)builder.add(RecordKind::event, 1, 7, encode(Event{5, "disk", "warning", "robot", "half full"}));
    return text_of(builder.finish());
  });
}

}  // namespace

std::span<const Target> record_targets() {
  static const std::vector<Target> list = {
      {"block", "journal blocks and the records in them", "", 8192, block, block_seeds},
      {"episode", "episode records", "", 4096, episode, episode_seeds},
      {"datapack", "datapack records", "", 8192, datapack, datapack_seeds},
      {"event", "event records", "", 1024, round_trip<decode_event>, event_seeds},
      {"receipt", "receipts", "", 2048, round_trip<decode_receipt>, receipt_seeds},
      {"enrichment", "enrichment records", "", 4096, round_trip<decode_enrichment>, enrichment_seeds},
      {"outcome", "outcome records", "", 2048, round_trip<decode_outcome>, outcome_seeds},
      {"knowledge", "signed knowledge", "", 4096, knowledge, knowledge_seeds},
      {"datapack_json", "datapacks as JSON Lines", "datapack_json", 8192, datapack_json, datapack_json_seeds},
  };
  return list;
}

}  // namespace drover::fuzz
