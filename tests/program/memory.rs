//! Memory does not grow with the number of sources, but for four bytes each under `--resume`
//! (promise 7 of the contract).
//!
//! By default with 20,000 and 100,000 sources. In full, with 100,000 and 1,000,000 and optimised:
//!
//! ```sh
//! EMO_PREFLIGHT_MEMORY=full cargo test --release --all-features --test program memory -- --nocapture
//! ```

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Cursor, Read, Seek, SeekFrom, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use image::{ImageFormat, RgbImage};

use crate::rig;

#[test]
fn memory_does_not_grow_with_the_number_of_sources() {
    if !Path::new("/proc/self/status").exists() {
        println!("no /proc on this system to read a process's peak from: this test did not run");
        return;
    }
    let full = std::env::var("EMO_PREFLIGHT_MEMORY").is_ok_and(|size| size == "full");
    let [few, many] = if full { [100_000, 1_000_000] } else { [20_000, 100_000] };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let origin = serve();
    let ledger = folder.path().join("ledger.db");
    // An empty ledger, which the runs then read.
    let mut make = rig::program_with(["check", "--json", "no-url"]);
    make.arg("--ledger").arg(&ledger).env("DASHSCOPE_API_KEY", rig::KEY);
    rig::run(&mut make).assert_status(1);

    let of = |count| {
        let run = Run::new(folder.path(), &ledger, &origin, count);
        let fresh = run.measure("from the start");
        run.lose_a_tenth();
        [fresh, run.measure("gone on with")]
    };
    let (few_peaks, many_peaks) = (of(few), of(many));
    for (small, large) in few_peaks.into_iter().zip(many_peaks) {
        for peak in [small, large] {
            assert!(peak < 64 * MIB, "{} MiB", peak / MIB);
        }
        let allowed = small + small * 15 / 100 + 4 * many;
        assert!(large <= allowed, "{large} bytes with {many} sources, {small} with {few}");
    }
}

#[test]
fn memory_does_not_grow_with_the_number_of_local_files() {
    if !Path::new("/proc/self/status").exists() {
        println!("no /proc on this system to read a process's peak from: this test did not run");
        return;
    }
    let full = std::env::var("EMO_PREFLIGHT_MEMORY").is_ok_and(|size| size == "full");
    let many = if full { 1_000_000 } else { 400_000 };
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let [small, large] = [40_000, many].map(|count| {
        let input = folder.path().join(format!("{count}.txt"));
        let line = format!("{}\n", rig::fixture("plain.png"));
        std::fs::write(&input, line.repeat(count)).unwrap();
        let mut command = rig::program_with(["probe", "--exit-zero", "--json", "--input"]);
        // One arena: what is measured is the program, not how the allocator shares out its threads.
        command.env("MALLOC_ARENA_MAX", "1");
        let (status, peak, stderr) = watch(command.arg(&input));
        assert_eq!(status, Some(0), "{stderr}");
        assert!(stderr.contains(&format!("{count} images: ")), "all were read: {stderr}");
        println!("{count} local files: peak {:.1} MiB", peak as f64 / MIB as f64);
        peak
    });
    // How an allocator places what many threads free differs by some MiB from run to run. What kept
    // each path would hold some 100 bytes a file: 34 MiB more here.
    assert!(large <= small + 8 * MIB, "{large} bytes with {many} files, {small} with 40,000");
    assert!(large < 64 * MIB, "{large} bytes");
}

/// Some of them at once by default, sixty-four in full.
#[test]
fn the_face_screen_keeps_its_bound_with_the_largest_images_at_once() {
    if !Path::new("/proc/self/status").exists() {
        println!("no /proc on this system to read a process's peak from: this test did not run");
        return;
    }
    let full = std::env::var("EMO_PREFLIGHT_MEMORY").is_ok_and(|size| size == "full");
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    // Those that decoders keep most of.
    let image = RgbImage::from_pixel(7_000, 7_000, image::Rgb([90, 120, 60]));
    let mut jpeg = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut jpeg, 60);
    encoder.set_progressive(true);
    encoder.encode(image.as_raw(), 7_000, 7_000, jpeg_encoder::ColorType::Rgb).unwrap();
    let mut webp = Cursor::new(Vec::new());
    image.write_to(&mut webp, ImageFormat::WebP).unwrap();
    let mut list = String::new();
    for (name, bytes) in [("a.jpg", &jpeg), ("b.webp", webp.get_ref())] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        list.push_str(&format!("{}\n", path.display()));
    }
    let count = if full { 64 } else { 8 };
    let input = folder.path().join("input.txt");
    std::fs::write(&input, list.repeat(count / 2)).unwrap();
    let mut command = rig::program_with(["probe", "--screen-faces", "reject", "--json", "--input"]);
    let start = Instant::now();
    let (status, peak, stderr) = watch(command.arg(&input));
    assert_eq!(status, Some(1), "{stderr}");
    assert!(stderr.contains(&format!("{count} rejected_local")), "{stderr}");
    let (seconds, peak) = (start.elapsed().as_secs_f64(), peak / MIB);
    println!("{count} of the largest images: {seconds:.1} s, peak {peak} MiB");
    assert!(peak < 512, "{peak} MiB");
}

/// One list of sources and its results.
struct Run {
    count: u64,
    results: std::path::PathBuf,
    arguments: Vec<String>,
}

impl Run {
    fn new(folder: &Path, ledger: &Path, origin: &str, count: u64) -> Self {
        let input = folder.join(format!("{count}.txt"));
        let mut list = BufWriter::new(File::create(&input).unwrap());
        for at in 0..count {
            writeln!(list, "{origin}/portraits/{at:09}.png").unwrap();
        }
        list.flush().unwrap();
        let results = folder.join(format!("{count}.jsonl"));
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let mut arguments = ["check", "--dry-run", "--allow-private-network", "--resume"]
            .map(str::to_owned)
            .to_vec();
        for (option, path) in [("--input", &*input), ("--output", &results), ("--ledger", ledger)] {
            arguments.extend([option.to_owned(), text(path)]);
        }
        Self { count, results, arguments }
    }

    /// Runs it to its end and gives its peak in bytes.
    fn measure(&self, how: &str) -> u64 {
        let before = lines(&self.results);
        let start = Instant::now();
        let mut command = rig::program_with(self.arguments.iter().map(String::as_str));
        let (status, peak, stderr) = watch(command.env_remove("DASHSCOPE_API_KEY"));
        assert_eq!(status, Some(0), "{stderr}");
        let seconds = start.elapsed().as_secs_f64();
        assert_eq!(lines(&self.results), self.count, "one line a source");
        let sum = format!("would make at most {} calls", self.count);
        assert!(stderr.contains(&sum), "all were looked at: {stderr}");
        let done = self.count - before;
        println!(
            "{} sources {how}: {seconds:.1} s, {:.0} sources a second, peak {:.1} MiB",
            self.count,
            done as f64 / seconds,
            peak as f64 / MIB as f64
        );
        peak
    }

    /// Cuts the results short, in the middle of a line.
    fn lose_a_tenth(&self) {
        let file = File::options().read(true).write(true).open(&self.results).unwrap();
        let length = file.metadata().unwrap().len();
        file.set_len(length / 10 * 9 - 7).unwrap();
    }
}

/// Runs a command to its end: its exit status, its peak of resident memory, its stderr.
fn watch(command: &mut Command) -> (Option<i32>, u64, String) {
    let mut child =
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it can be started");
    let status = format!("/proc/{}/status", child.id());
    let (mut peak, start) = (0, Instant::now());
    let ended = loop {
        // The kernel keeps the peak: the last reading before the end has all but its last moment.
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let read = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        peak = read.map_or(peak, |kib| kib * 1_024);
        if let Some(ended) = child.try_wait().unwrap() {
            break ended;
        }
        if start.elapsed() > Duration::from_secs(900) {
            child.kill().unwrap();
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert!(peak > MIB, "a peak was read");
    (ended.code(), peak, stderr)
}

fn lines(path: &Path) -> u64 {
    let Ok(file) = File::open(path) else { return 0 };
    let mut reader = BufReader::new(file);
    let mut lines = 0;
    while reader.skip_until(b'\n').unwrap() > 0 {
        lines += 1;
    }
    reader.seek(SeekFrom::End(-1)).unwrap();
    let mut last = [0];
    reader.read_exact(&mut last).unwrap();
    // What has no newline is no line.
    lines - u64::from(last != *b"\n")
}

/// An origin of one image under any path: a PNG's first 1,024 bytes, of 640×640. It does next to
/// nothing, so that the program is what is measured.
fn serve() -> String {
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x02\x80\x08\x02\0\0\0".to_vec();
    png.extend(crc32(&png[12..]).to_be_bytes());
    png.resize(1_024, 0);
    let mut answer = b"HTTP/1.1 206 Partial Content\r\ncontent-type: image/png\r\n\
        content-range: bytes 0-1023/1024\r\ncontent-length: 1024\r\n\r\n"
        .to_vec();
    answer.extend(png);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || answer_all(stream, &answer));
        }
    });
    format!("http://{address}")
}

/// Answers every request of a connection until its client leaves.
fn answer_all(mut stream: TcpStream, answer: &[u8]) {
    let _ = stream.set_nodelay(true);
    let (mut buffer, mut filled) = ([0; 4_096], 0);
    loop {
        match stream.read(&mut buffer[filled..]) {
            Ok(0) | Err(_) => return,
            Ok(read) => filled += read,
        }
        // A client of HTTP/1.1 that does not pipeline: what ends a request ends what was read.
        if buffer[..filled].ends_with(b"\r\n\r\n") {
            filled = 0;
            if stream.write_all(answer).is_err() {
                return;
            }
        }
    }
}

/// PNG's checksum, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 }
        })
    })
}

const MIB: u64 = 1_024 * 1_024;
