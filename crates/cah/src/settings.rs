//! Flags that several commands share, and the settings that they become.

use std::{
    borrow::Cow, collections::BTreeSet, net::IpAddr, ops::RangeInclusive, path::PathBuf, sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use cah_clip::{ImageMode, Limits, SafetyList};
use cah_fetch::OptOuts;
use cah_wat::{LanguageDetector, Rule, Rules, UNDETERMINED};
use cah_worker::{Pipeline, PipelineConfig, UnsafePolicy};
use clap::{
    Args, ValueEnum,
    builder::{PossibleValuesParser, RangedU64ValueParser, TypedValueParser},
};

use crate::assets;

/// Seconds of a day, the longest time that the downloader takes for anything.
const DAY: u64 = 86_400;

/// What `--model` takes.
pub(crate) const MODEL_HELP: &str = "The CLIP model: a folder in the layout of Hugging Face, \
     `hf:ORG/NAME` to download one, or `tiny-clip`, a toy that comes with this program";

/// How shards become pairs, and by which model.
#[derive(Debug, Args)]
pub(crate) struct PipelineArgs {
    #[arg(long, env = "CAH_MODEL", hide_env_values = true, value_name = "MODEL", help = MODEL_HELP)]
    model: String,

    #[command(flatten)]
    steps: StepArgs,
}

/// How shards become pairs.
#[derive(Debug, Args)]
pub(crate) struct StepArgs {
    #[command(flatten)]
    pub(crate) tuning: TuningArgs,

    #[command(flatten)]
    pub(crate) rules: RuleArgs,

    #[command(flatten)]
    pub(crate) fetch: FetchArgs,
}

/// What becomes of images.
#[derive(Debug, Args)]
#[command(next_help_heading = "Images and pairs")]
pub(crate) struct TuningArgs {
    /// The least cosine of image and text that makes a pair [default: the model's own, else 0.3]
    #[arg(long, value_name = "COSINE", value_parser = cosine, allow_negative_numbers = true)]
    similarity_threshold: Option<f32>,

    /// How images are stored: keep_ratio:N (the shorter side becomes N, if it is longer),
    /// keep_ratio_largest:N (the longer side), center_crop:N, border:N, no (in their own size),
    /// original (as downloaded) or none
    #[arg(long, default_value_t, value_name = "MODE", alias = "resize-mode")]
    images: ImageMode,

    /// The fewest bytes of an image file that is worth a look
    #[arg(long, default_value_t = Limits::default().min_bytes, value_name = "BYTES")]
    min_image_bytes: usize,

    /// Keep images that the model takes for unsafe, with the tag NSFW, instead of dropping them
    #[arg(long)]
    keep_unsafe: bool,

    /// The categories behind the NSFW tag, as JSON [default: the model's own, else built in]
    #[arg(long, value_name = "FILE")]
    safety_list: Option<PathBuf>,

    /// Images and texts that the model takes at a time
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = count(1..=4096))]
    batch_size: usize,

    /// Threads for decoding and embedding [default: one a core]
    #[arg(long, value_name = "N", value_parser = count(1..=1024), alias = "processes-count")]
    threads: Option<usize>,
}

/// Which links become candidates.
#[derive(Debug, Args)]
#[command(next_help_heading = "Candidates")]
pub(crate) struct RuleArgs {
    /// Keep only texts in these languages, by their ISO 639-1 codes: en,de; `und` stands for those
    /// whose language is not clear
    #[arg(long, value_name = "CODES", value_delimiter = ',')]
    languages: Vec<String>,

    /// Switch a rule off; may be given several times
    #[arg(long, value_name = "RULE", value_parser = rule())]
    no_rule: Vec<Rule>,

    /// The fewest characters of a text
    #[arg(long, default_value_t = Rules::default().min_text_chars, value_name = "N")]
    min_text_length: usize,

    /// fastText's language model in place of the built-in lid.176.ftz; `none` leaves languages
    /// unknown
    #[arg(long, value_name = "FILE")]
    language_model: Option<PathBuf>,
}

/// How images are downloaded.
#[derive(Debug, Args)]
#[command(next_help_heading = "Downloads")]
pub(crate) struct FetchArgs {
    /// Requests in flight at once
    #[arg(
        long,
        default_value_t = defaults().in_flight,
        value_name = "N",
        value_parser = count(1..=65_536),
        alias = "thread-count"
    )]
    in_flight: usize,

    /// Requests in flight at once at one host
    #[arg(
        long,
        default_value_t = defaults().per_host,
        value_name = "N",
        value_parser = count(1..=65_536)
    )]
    per_host: usize,

    /// Milliseconds between two requests at one host
    #[arg(
        long,
        default_value_t = defaults().host_delay.as_millis() as u64,
        value_name = "MS",
        value_parser = clap::value_parser!(u64).range(..=1000 * DAY)
    )]
    host_delay: u64,

    /// Seconds for an image, from the connection to the last byte
    #[arg(
        long,
        default_value_t = defaults().deadline.as_secs(),
        value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(1..=DAY)
    )]
    timeout: u64,

    /// How often a request that failed is tried again where that can help
    #[arg(
        long,
        default_value_t = defaults().retries,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(..=100)
    )]
    retries: u32,

    /// The longest image file, in bytes
    #[arg(
        long,
        default_value_t = defaults().max_bytes,
        value_name = "BYTES",
        value_parser = count(1..=1 << 40)
    )]
    max_image_bytes: usize,

    /// A URL or mailto address under which site owners reach you; it stands in the User-Agent
    #[arg(
        long,
        env = "CAH_CONTACT",
        hide_env_values = true,
        default_value_t = defaults().contact,
        value_name = "URL"
    )]
    contact: String,

    /// Do not honour an opt-out; may be given several times
    #[arg(long, value_name = "NAME")]
    ignore_opt_out: Vec<OptOutName>,

    /// Allow requests to private and loopback addresses: for tests, never on a crawl
    #[arg(long)]
    allow_private_addresses: bool,

    /// The address of a host name, in place of DNS; may be given several times
    #[arg(long, value_name = "NAME=ADDRESS", value_parser = host)]
    host: Vec<(String, IpAddr)>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OptOutName {
    Noai,
    Noimageai,
    Noindex,
    Noimageindex,
    TdmReservation,
}

fn defaults() -> cah_fetch::Config {
    cah_fetch::Config::default()
}

/// A number of things, within limits.
pub(crate) fn count(limits: RangeInclusive<u64>) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(limits)
}

/// A rule, by one of the names that help lists.
fn rule() -> impl TypedValueParser<Value = Rule> {
    PossibleValuesParser::new(Rule::all().map(Rule::name)).try_map(|name| name.parse::<Rule>())
}

fn cosine(text: &str) -> Result<f32, String> {
    match text.parse() {
        Ok(cosine) if (-1.0..=1.0).contains(&cosine) => Ok(cosine),
        _ => Err("a cosine is a number between -1 and 1".into()),
    }
}

fn host(text: &str) -> Result<(String, IpAddr), String> {
    let parse = || {
        let (name, address) = text.split_once('=')?;
        Some((name.to_owned(), address.parse().ok()?))
    };
    parse().ok_or_else(|| "give a name and its address, like images.test=127.0.0.1".into())
}

impl PipelineArgs {
    /// Loads the model and sets the pipeline up.
    pub(crate) async fn pipeline(&self) -> Result<Pipeline> {
        let config = self.steps.config()?;
        let model = assets::model(&self.model).await?;
        Ok(Pipeline::new(config, model)?)
    }
}

impl StepArgs {
    pub(crate) fn config(&self) -> Result<PipelineConfig> {
        let mut config = PipelineConfig {
            rules: self.rules.rules()?,
            fetch: self.fetch.config(),
            ..PipelineConfig::default()
        };
        self.tuning.apply(&mut config)?;
        Ok(config)
    }
}

impl TuningArgs {
    fn apply(&self, config: &mut PipelineConfig) -> Result<()> {
        config.limits.min_bytes = self.min_image_bytes;
        config.images = self.images;
        config.similarity_threshold = self.similarity_threshold;
        config.unsafe_images = match self.keep_unsafe {
            true => UnsafePolicy::Tag,
            false => UnsafePolicy::Drop,
        };
        config.safety = self
            .safety_list
            .as_deref()
            .map(SafetyList::from_path)
            .transpose()?;
        config.batch = self.batch_size;
        config.threads = self.threads.unwrap_or(config.threads);
        Ok(())
    }
}

impl RuleArgs {
    /// The rules over links, with the language model that they ask.
    pub(crate) fn rules(&self) -> Result<Rules> {
        let model = self.language_model()?;
        let languages = self.languages(model.as_deref())?;
        let detector = model.as_deref().map(LanguageDetector::from_bytes);
        Ok(Rules {
            off: self.no_rule.iter().copied().collect(),
            min_text_chars: self.min_text_length,
            detector: detector.transpose()?.map(Arc::new),
            languages: (!languages.is_empty()).then_some(languages),
            ..Rules::default()
        })
    }

    fn language_model(&self) -> Result<Option<Cow<'static, [u8]>>> {
        match self.language_model.as_deref() {
            None => Ok(Some(assets::LANGUAGE_MODEL.into())),
            Some(path) if path.as_os_str() == "none" => Ok(None),
            Some(path) => {
                let model = std::fs::read(path).with_context(|| {
                    format!("cannot read the language model {}", path.display())
                })?;
                Ok(Some(model.into()))
            }
        }
    }

    /// The languages that are wanted, each of which the model can tell.
    fn languages(&self, model: Option<&[u8]>) -> Result<BTreeSet<String>> {
        if self.languages.is_empty() {
            return Ok(BTreeSet::new());
        }
        let Some(model) = model else {
            bail!("--languages needs a language model; leave `--language-model none` out");
        };
        let known = assets::languages(model)?;
        let codes = self.languages.iter().map(|code| code.trim().to_lowercase());
        codes
            .map(|code| match code == UNDETERMINED || known.contains(&code) {
                true => Ok(code),
                false => bail!(
                    "--languages: `{code}` is no language that the model knows; give ISO 639-1 \
                     codes such as en,de"
                ),
            })
            .collect()
    }
}

impl FetchArgs {
    /// Whether hand-overs may go by private addresses, where that was said.
    pub(crate) fn may_be_private(&self) -> Option<bool> {
        self.allow_private_addresses.then_some(true)
    }

    fn config(&self) -> cah_fetch::Config {
        let hosts = self.host.iter().map(|(name, address)| {
            let port_of_the_url = 0;
            (name.clone(), vec![(*address, port_of_the_url).into()])
        });
        cah_fetch::Config {
            contact: self.contact.clone(),
            opt_outs: self.opt_outs(),
            in_flight: self.in_flight,
            per_host: self.per_host,
            host_delay: Duration::from_millis(self.host_delay),
            deadline: Duration::from_secs(self.timeout),
            max_bytes: self.max_image_bytes,
            retries: self.retries,
            allow_private_addresses: self.allow_private_addresses,
            hosts: hosts.collect(),
            ..defaults()
        }
    }

    fn opt_outs(&self) -> OptOuts {
        let mut honoured = OptOuts::default();
        for name in &self.ignore_opt_out {
            match name {
                OptOutName::Noai => honoured.noai = false,
                OptOutName::Noimageai => honoured.noimageai = false,
                OptOutName::Noindex => honoured.noindex = false,
                OptOutName::Noimageindex => honoured.noimageindex = false,
                OptOutName::TdmReservation => honoured.tdm_reservation = false,
            }
        }
        honoured
    }
}
