// Round trips of every record kind, canonical bytes, and enumerations from a newer writer.
#include <doctest/doctest.h>

#include "messages/datapack.hpp"
#include "messages/episode.hpp"
#include "messages/knowledge.hpp"
#include "messages/packet.hpp"
#include "messages/schema/datapack.capnp.h"
#include "messages/schema/records.capnp.h"
#include "tests/support/random_values.hpp"

using namespace drover;

namespace {

template <class Make, class Decode>
void round_trips(uint64_t seed, int rounds, Make make, Decode decode) {
  test::Rng rng(seed);
  for (int i = 0; i < rounds; ++i) {
    CAPTURE(seed);
    CAPTURE(i);
    const auto value = make(rng);
    const Bytes flat = encode(value);
    const auto back = decode(flat.view());
    REQUIRE_MESSAGE(back, (back ? "" : back.error().message()));
    CHECK(*back == value);
    CHECK(encode(*back) == flat);  // equal values, equal bytes
  }
}

// Every prefix must give an error, and never a crash. (A flat message says how long it is.)
template <class Decode>
void refuses_truncation(const Bytes& flat, Decode decode) {
  for (size_t size = 0; size < flat.size(); ++size) CHECK(!decode(flat.slice(0, size).view()));
}

}  // namespace

TEST_CASE("messages/codec: datapacks round trip, valid or not") {
  round_trips(
      81, 600, [](test::Rng& rng) { return test::random_datapack(rng, true); }, decode_datapack);
  round_trips(
      82, 300, [](test::Rng& rng) { return test::random_datapack(rng, false); }, decode_datapack);
}

TEST_CASE("messages/codec: an empty datapack round trips") {
  Datapack empty;
  CHECK(decode_datapack(encode(empty)).value() == empty);
  Datapack bare;
  bare.condition.vase_offset_m.clear();
  bare.condition.objective_vector.clear();
  CHECK(decode_datapack(encode(bare)).value() == bare);
}

TEST_CASE("messages/codec: optional fields tell absent from zero") {
  Datapack p;
  p.attribution.mvd_score = 0;
  p.attribution.wm_horizon_used = 0;
  p.attribution.wm_trust_over_horizon = std::vector<double>{};
  const auto back = decode_datapack(encode(p)).value();
  CHECK(back.attribution.mvd_score == std::optional<double>(0));
  CHECK(back.attribution.wm_horizon_used == std::optional<int64_t>(0));
  CHECK(back.attribution.wm_trust_over_horizon.has_value());
  CHECK(!back.attribution.wm_branch_depth.has_value());
  CHECK(!back.sima_annotation.has_value());
}

TEST_CASE("messages/codec: episodes, events, receipts, enrichments and outcomes round trip") {
  round_trips(
      83, 600, [](test::Rng& rng) { return test::random_episode(rng); }, decode_episode);
  round_trips(84, 300, test::random_event, decode_event);
  round_trips(85, 300, test::random_receipt, decode_receipt);
  round_trips(86, 300, test::random_enrichment, decode_enrichment);
  round_trips(87, 300, test::random_outcome, decode_outcome);
  round_trips(88, 300, test::random_knowledge, decode_knowledge);
}

TEST_CASE("messages/codec: every truncation of every kind is refused") {
  test::Rng rng(89);
  refuses_truncation(encode(test::random_datapack(rng)), decode_datapack);
  refuses_truncation(encode(test::random_episode(rng)), decode_episode);
  refuses_truncation(encode(test::random_event(rng)), decode_event);
  refuses_truncation(encode(test::random_receipt(rng)), decode_receipt);
  refuses_truncation(encode(test::random_enrichment(rng)), decode_enrichment);
  refuses_truncation(encode(test::random_outcome(rng)), decode_outcome);
  refuses_truncation(encode(test::random_knowledge(rng)), decode_knowledge);
}

TEST_CASE("messages/codec: enumerations of a newer writer are refused by field, not misread") {
  capnp::MallocMessageBuilder bucket;
  bucket.initRoot<schema::Datapack>().setBucket(static_cast<schema::Bucket>(2));
  CHECK(decode_datapack(flat_bytes(bucket)).error().where == "bucket");
  capnp::MallocMessageBuilder source;
  source.initRoot<schema::Datapack>().initAttribution().setSourceType(static_cast<schema::SourceType>(3));
  CHECK(decode_datapack(flat_bytes(source)).error().where == "attribution.source_type");
}

TEST_CASE("messages/codec: hashes of a wrong size are refused by field") {
  const auto where = [](auto fill) {
    capnp::MallocMessageBuilder message;
    fill(message.initRoot<schema::Episode>());
    const auto episode = decode_episode(flat_bytes(message));
    return episode ? std::string("accepted") : episode.error().where;
  };
  const kj::byte short_hash[3] = {1, 2, 3};
  const auto wrong = kj::arrayPtr(short_hash, 3);
  CHECK(where([&](schema::Episode::Builder b) { b.setSourceHash(wrong); }) == "source_hash");
  CHECK(where([&](schema::Episode::Builder b) { b.initBlobs(1)[0].setHash(wrong); }) == "blobs.hash");
  CHECK(where([&](schema::Episode::Builder b) { b.initBlobs(1)[0].initChunks(1)[0].setHash(wrong); }) ==
        "blobs.chunks.hash");
  CHECK(where([&](schema::Episode::Builder b) { b.initBlobs(1)[0].initChunks(1); }) == "blobs.chunks.hash");
  CHECK(where([&](schema::Episode::Builder) {}) == "accepted");
}

TEST_CASE("messages/codec: names of buckets and source types go both ways") {
  for (auto b : {Bucket::positive, Bucket::negative}) CHECK(bucket_from_name(bucket_name(b)) == b);
  for (auto t : {SourceType::real, SourceType::synthetic, SourceType::hybrid})
    CHECK(source_type_from_name(source_type_name(t)) == t);
  CHECK(!bucket_from_name("Positive"));
  CHECK(!source_type_from_name(""));
}
