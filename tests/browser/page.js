"use strict";

// Any number of players in one page, each an hls.js as it comes, and what can be seen of them.

class Player {
  constructor(url) {
    this.began = performance.now();
    this.started = null;
    this.first = 0;
    this.waits = 0;
    this.seeks = 0;
    this.errors = [];
    this.video = document.createElement("video");
    this.video.addEventListener("playing", () => this.begin());
    this.video.addEventListener("waiting", () => (this.waits += this.started !== null));
    this.video.addEventListener("seeking", () => (this.seeks += this.started !== null));
    document.body.append(this.video);
    this.hls = new Hls();
    this.hls.on(Hls.Events.ERROR, (_, data) => this.note(data));
    this.hls.attachMedia(this.video);
    this.hls.loadSource(url);
    this.video.play().catch((error) => this.errors.push(String(error)));
  }

  begin() {
    if (this.started === null) {
      this.started = performance.now() - this.began;
      this.first = this.video.currentTime;
    }
  }

  // Before it plays a player may change its mind about where to begin, and give up a request; that is no failure.
  note(data) {
    if (data.fatal || this.started !== null) {
      const at = this.video.currentTime.toFixed(2);
      this.errors.push(`${data.details} at ${at} s: ${data.error?.message ?? ""}`);
    }
  }

  seen() {
    const { video } = this;
    const { buffered } = video;
    return {
      through: video.src.split(":")[0],
      played: this.started === null ? 0 : video.currentTime - this.first,
      started: this.started,
      waits: this.waits,
      seeks: this.seeks,
      errors: this.errors,
      size: [video.videoWidth, video.videoHeight],
      pictures: video.getVideoPlaybackQuality().totalVideoFrames,
      sound: video.webkitAudioDecodedByteCount,
      ahead: buffered.length ? buffered.end(buffered.length - 1) - video.currentTime : 0,
    };
  }

  close() {
    this.hls.destroy();
    this.video.remove();
  }
}

const players = new Map();

function play(name, url) {
  players.set(name, new Player(url));
}

function seen() {
  return Object.fromEntries([...players].map(([name, player]) => [name, player.seen()]));
}

function closeAll() {
  players.forEach((player) => player.close());
  players.clear();
}

// What a page of another origin can read of an answer.
async function ask(url, headers) {
  const answer = await fetch(url, { headers });
  const body = await answer.arrayBuffer();
  return { status: answer.status, length: answer.headers.get("Content-Length"), size: body.byteLength };
}
